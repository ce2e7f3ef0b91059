"""Checkpoints of published architectures at full size, with random weights, laid out as they lie on the Hub."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints._case import tiny_tokenizer, write_json

QWEN2_05B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
}


def write_mobileclip2(folder: Path, name: str) -> None:
    """An OpenCLIP checkpoint of ``name``, not reparameterized, as timm publishes it."""
    import open_clip
    from safetensors.torch import save_file

    from tests.checkpoints._case import useful_weights

    config = open_clip.get_model_config(name)
    model = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    useful_weights(model)
    save_file(
        {key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    preprocess = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear", "resize_mode": "shortest"}
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})
    tiny_tokenizer(("<|startoftext|>", "<|endoftext|>")).save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer"})


def write_fastvlm_05b(folder: Path) -> None:
    """FastVLM-0.5B in Apple's layout: bfloat16, slow tokenizer files, the output head stored beside the tied table."""
    import torch
    from safetensors.torch import save_file
    from transformers import FastVlmConfig, FastVlmForConditionalGeneration

    from tests.checkpoints.fastvlm import SPECIAL, apple_checkpoint_name, apple_config, write_slow_tokenizer

    ids = write_slow_tokenizer(folder)
    end = ids[SPECIAL[2]]
    flat = {**QWEN2_05B, "mm_hidden_size": 3072}
    write_json(folder / "config.json", apple_config(end=end, tower="mobileclip_l_1024", **flat))
    write_json(folder / "generation_config.json", {"eos_token_id": end})
    tower = {"architecture": "fastvit_mci3", "do_pooling": True, "hidden_size": 3072, "num_labels": 0}
    config = FastVlmConfig(
        text_config={"model_type": "qwen2", **QWEN2_05B},
        vision_config={"model_type": "timm_wrapper", **tower, "model_args": {"inference_mode": True}},
        tie_word_embeddings=True,
    )
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        model = FastVlmForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gamma" in name:  # timm starts with 1e-5: features would be of the order 1e-25
                parameter.fill_(0.3)
            elif "timm_model" in name and parameter.dim() >= 2:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    weights = {apple_checkpoint_name(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
