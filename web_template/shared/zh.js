/** @file Chinese words of what every page shows; language.js says how they are used. */

/** @type {import('./language.js').Words} */
export const WORDS = {
  // the frame
  'Try again': '重试',
  Start: '开始',
  Cancel: '取消',
  Language: '语言',
  'Download of the model': '模型下载进度',
  'Send my pictures to the server': '把我的图片发送到服务器',
  'Delete it': '删除',
  'Stop sending': '停止发送',
  'Open this page in a window of its own: inside another one, storage and folders are restricted.':
    '在单独的窗口中打开本页：嵌在其他页面里时，存储和文件夹访问会受限。',
  // before the start
  'Checking what this device can do…': '正在检查此设备的能力…',
  'Ready when you are.': '随时可以开始。',
  'Download {size} MB and start': '下载 {size} MB 并开始',
  'Use the processor and start': '使用处理器并开始',
  'Use the processor: download {size} MB and start': '使用处理器：下载 {size} MB 并开始',
  'Start with less memory: {label}, {size} MB': '少用内存启动：{label}，{size} MB',
  'This page is made for WebGPU, and it cannot be used here: {missing}.': '本页为 WebGPU 设计，但在这里无法使用：{missing}。',
  'The last visit ended without a word while {label} ran: the browser probably ran out of memory.':
    '上次访问在运行 {label} 时突然中断：浏览器的内存可能已用尽。',
  'This browser forbids WebAssembly, without which no model runs in it. Allow it for this page, or open the page in another browser.':
    '此浏览器禁用了 WebAssembly，没有它任何模型都无法运行。请允许此页面使用它，或换一个浏览器打开此页面。',
  'A server can run the model instead: your pictures and what you type will then be sent to {host}, and not before.':
    '也可以由服务器运行模型：届时您的图片和输入的文字才会发送到 {host}。',
  'This model is small: expect an answer in about a second.': '此模型很小：大约一秒即可得到回答。',
  'Expect several seconds for an answer, where a graphics processor takes less than one.':
    '每个回答预计需要几秒，而图形处理器用不到一秒。',
  'Expect half a minute or more for an answer, where a graphics processor takes about a second.':
    '每个回答预计需要半分钟以上，而图形处理器大约一秒。',
  'The model needs about {needed} GB of memory and this device has {present} GB: the browser may end the page.':
    '模型约需 {needed} GB 内存，而此设备有 {present} GB：浏览器可能会终止本页。',
  'The model needs about {needed} GB of memory, and WebAssembly has 4 GB at most: it will probably not load.':
    '模型约需 {needed} GB 内存，而 WebAssembly 最多只有 4 GB：很可能无法加载。',
  'The model needs about {needed} GB of memory, which is more than phones and tablets of Apple give a page: the browser may end it.':
    '模型约需 {needed} GB 内存，超过 Apple 手机和平板给一个页面的内存：浏览器可能会终止本页。',
  // the device
  'Runs on the processor (WebAssembly): {why}.': '在处理器上运行（WebAssembly）：{why}。',
  'Runs on the graphics processor (WebGPU{adapter}): {why}.': '在图形处理器上运行（WebGPU{adapter}）：{why}。',
  'Runs on the server that you chose: your pictures and what you type are sent to {host}.':
    '在您选择的服务器上运行：您的图片和输入的文字会发送到 {host}。',
  Server: '服务器',
  'it was not asked for': '没有要求使用它',
  'browsers allow WebGPU only on https or localhost, and this page came over plain http':
    '浏览器只允许在 https 或 localhost 上使用 WebGPU，而本页通过普通 http 打开',
  'this browser has no WebGPU': '此浏览器没有 WebGPU',
  'the graphics processor allows too little ({name} is {present}, {least} is needed)':
    '图形处理器的限额太低（{name} 为 {present}，需要 {least}）',
  'the graphics driver did not answer': '图形驱动程序没有响应',
  'this browser offers no graphics processor to WebGPU': '此浏览器没有向 WebGPU 提供图形处理器',
  'WebGPU failed to start ({why})': 'WebGPU 启动失败（{why}）',
  'WebGPU was tried first, but {failure}': '先尝试了 WebGPU，但{failure}',
  'the address of this page asks for it': '本页的地址如此要求',
  'this model has no WebGPU version': '此模型没有 WebGPU 版本',
  'the model has a table of {needed} MB, and this graphics processor takes at most {most} MB in one piece':
    '模型中有一个 {needed} MB 的表，而此图形处理器一次最多容纳 {most} MB',
  'WebGPU is only imitated in software here, which is slower': '这里的 WebGPU 只是软件模拟，速度更慢',
  'WebGPU was asked for, but {missing}.': '要求使用 WebGPU，但{missing}。',
  'it is available here, with 16-bit arithmetic': '此处可用，支持 16 位运算',
  'it is available here, without 16-bit arithmetic': '此处可用，但不支持 16 位运算',
  // the address
  'There is no server behind this page, so “device=server” was ignored.': '本页没有服务器，因此忽略了“device=server”。',
  '“{given}” was ignored: it is webgpu or wasm.': '忽略了“{given}”：应为 webgpu 或 wasm。',
  '“{given}” was ignored: this page has no sample.': '忽略了“{given}”：本页没有示例。',
  '“{given}” was ignored: it is one of {sources}, or the address of a video on this site.':
    '忽略了“{given}”：应为 {sources} 之一，或本站视频的地址。',
  '“{given}” was ignored: it is one of {sources}.': '忽略了“{given}”：应为 {sources} 之一。',
  '“{given}” was ignored: it is one of {known}.': '已忽略“{given}”：可用值为 {known}。',
  '“{given}” was ignored: it is 1.': '忽略了“{given}”：应为 1。',
  '“{given}” was ignored: this page has {known}.': '忽略了“{given}”：本页有 {known}。',
  '“{given}” was ignored: this graphics processor has no 16-bit arithmetic (shader-f16).':
    '忽略了“{given}”：此图形处理器不支持 16 位运算（shader-f16）。',
  // loading
  'Loading the model…': '正在加载模型…',
  'Connecting to the server…': '正在连接服务器…',
  '{loaded} of {total} MB': '{loaded} / {total} MB',
  '{speed} MB/s': '{speed} MB/秒',
  '{count} s left': '还剩 {count} 秒',
  '{count} min left': '还剩 {count} 分钟',
  '{percent} % of the model is here.': '模型已下载 {percent} %。',
  'The connection is lost: waiting for it.': '连接已断开：正在等待恢复。',
  'The connection is back: loading goes on.': '连接已恢复：继续加载。',
  'Waiting for the connection. What has arrived is kept.': '正在等待连接。已下载的部分会保留。',
  'Preparing the model for its first run…': '正在准备模型的首次运行…',
  '{size} MB loaded, preparing': '已加载 {size} MB，正在准备',
  'The model is ready.': '模型已就绪。',
  'Stopped. What has arrived is kept.': '已停止。已下载的部分会保留。',
  'Stopped: nothing is sent any more.': '已停止：不再发送任何内容。',
  // what is stored, what was sent
  '{size} MB of the model stored on this device.': '此设备上存有 {size} MB 的模型。',
  'Nothing can be stored here: the model is downloaded anew on each visit.': '这里无法存储：每次访问都会重新下载模型。',
  'This browser leaves this page {free} MB, and {needed} MB are needed: what does not fit is downloaded anew on each visit.':
    '浏览器只给本页留了 {free} MB，而需要 {needed} MB：放不下的部分每次访问都会重新下载。',
  'Deleted: nothing of the model is stored here any more.': '已删除：此处不再存有模型的任何内容。',
  '{count} bytes of pictures and words sent': '已发送 {count} 字节的图片和文字',
  // the server
  'The server at {host} answers with the model {name}, and this page is made for {expected}.':
    '{host} 的服务器使用模型 {name}，而本页是为 {expected} 制作的。',
  'The part of this page that speaks to the server could not be loaded. Reload the page.': '本页与服务器通信的部分无法加载。请重新加载本页。',
  'This browser has no 2D canvas.': '此浏览器没有 2D 画布。',
  'The server at {host} cannot be reached. It may be asleep or switched off: check the connection, and try again in a minute.':
    '无法连接到 {host} 的服务器。它可能正在休眠或已关闭：请检查连接，一分钟后重试。',
  'The server is busy: too many others are waiting. Try again in a moment.': '服务器正忙：等待的人太多。请稍后重试。',
  'The free time that this server gives to each visitor is used up for now. Try again later, or sign in at huggingface.co.':
    '此服务器给每位访客的免费时间暂时已用完。请稍后重试，或在 huggingface.co 登录。',
  'The server says: {text}': '服务器的回答：{text}',
  'The server could not answer this. Try again, or with another picture.': '服务器无法回答。请重试，或换一张图片。',
  // failures
  'WebGPU broke off, so it is started again.': 'WebGPU 中断了，正在重新启动。',
  'it failed here ({failure})': '它在这里失败了（{failure}）',
  'WebGPU failed, so this page continues on the processor (WebAssembly).': 'WebGPU 失败，本页改用处理器（WebAssembly）继续。',
  'WebGPU failed. The processor (WebAssembly) needs another download.': 'WebGPU 失败。改用处理器（WebAssembly）需要另外下载。',
  'Use the server': '使用服务器',
  'No answer from the server': '服务器没有回答',
  'The model stopped working': '模型停止了工作',
  'The model could not be loaded': '无法加载模型',
  'Try again in a while, or let the model run on this device.': '请稍后重试，或让模型在此设备上运行。',
  'Close other tabs if memory is short, and try again.': '如果内存不足，请关闭其他标签页后重试。',
  'Check the connection and try again. What has arrived is kept.': '请检查连接后重试。已下载的部分会保留。',
  'Check the connection and try again.': '请检查连接后重试。',
  'The browser ended the part of the page that runs the model, probably for lack of memory.':
    '浏览器终止了运行模型的部分，可能是内存不足。',
  'The graphics processor was taken away ({why})': '图形处理器已不可用（{why}）',
  'The part of the page that runs the model could not be downloaded.': '运行模型的部分无法下载。',
  'A message of the worker could not be read.': '后台程序的一条消息无法读取。',
  'The model runtime stopped with code {code}, probably for lack of memory.': '模型运行环境以代码 {code} 停止，可能是内存不足。',
  '{path} arrived damaged, twice: its checksum is not the one that this page was built with.':
    '{path} 两次下载都已损坏：校验和与构建本页时不符。',
  '{path} could not be downloaded: the server answered with a web page in its place.': '无法下载 {path}：服务器返回的是一个网页。',
  '{path} could not be downloaded: the server answered {status}.': '无法下载 {path}：服务器返回 {status}。',
  '{path} could not be downloaded: the connection failed again and again.': '无法下载 {path}：连接一再失败。',
  'A part of this page is missing': '本页缺少一部分',
  'the description of the model': '模型的描述文件',
  '{name} could not be read: the connection failed.': '无法读取{name}：连接失败。',
  '{name} could not be read: the server answered {status} for {url}.': '无法读取{name}：服务器对 {url} 返回 {status}。',
  '{name} could not be read: it is not valid JSON.': '无法读取{name}：不是有效的 JSON。',
  'This page could not start': '本页无法启动',
  'Reload the page. If it stays like this, the site has to be built again.': '请重新加载本页。如果仍然如此，则需要重新构建本站。',
};
