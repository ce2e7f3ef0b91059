"""publish: put a web model and a site where others can open them.

Start with `_contract.py`: every target is planned, shown and then applied. One file for each: model_repo.py,
static_space.py, gradio_space.py, folder.py. Beside them: session.py logs in and asks again after a failure,
repository.py makes one commit of a list of files, problems.py has the words for refusals, files.py and secret_scan.py
decide what may leave this machine, live.py and browser.py look at what was published, and remembered.py notes it in the
project's folder.

Nothing here exports, quantizes or builds: `builder.publishing` chains that.
"""
