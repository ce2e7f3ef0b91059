"""SigLIP with its SentencePiece model, and SigLIP 2 of fixed resolution with Gemma's tokenizer."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import SiglipConfig, SiglipModel
from transformers.convert_slow_tokenizer import import_protobuf

from tests.checkpoints._case import WORDS, Case, DualEncoder, useful_weights, write_json
from tests.checkpoints._clip import SCALE

EDGE = 64
CONTEXT = 16
HALF = [0.5, 0.5, 0.5]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPACE = "▁"


def pieces_model(path: Path) -> int:
    """Write a SentencePiece model as SigLIP's is, <unk> and </s> among its pieces; returns how many there are."""
    proto = import_protobuf().ModelProto()
    kinds = proto.SentencePiece
    words = [word for word in WORDS.split() if word.isalpha()]
    pieces = [("<pad>", 0.0, kinds.CONTROL), ("</s>", 0.0, kinds.CONTROL), ("<unk>", 0.0, kinds.UNKNOWN)]
    pieces += [(SPACE + word, -3.0 - 0.01 * number, kinds.NORMAL) for number, word in enumerate(words)]
    pieces += [(SPACE + letter, -6.0 - 0.01 * number, kinds.NORMAL) for number, letter in enumerate(LETTERS)]
    pieces += [(letter, -8.0 - 0.01 * number, kinds.NORMAL) for number, letter in enumerate(LETTERS + SPACE + "éß¿")]
    pairs = [first + second for first in LETTERS[:26] for second in "aeiou"]
    pieces += [(pair, -7.0 - 0.01 * number, kinds.NORMAL) for number, pair in enumerate(pairs)]
    pieces = list({piece[0]: piece for piece in reversed(pieces)}.values())[::-1]
    for text, score, kind in pieces:
        proto.pieces.add(piece=text, score=score, type=kind)
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    trainer.model_type, trainer.vocab_size = trainer.UNIGRAM, len(pieces)
    trainer.pad_id, trainer.eos_id, trainer.unk_id, trainer.bos_id = 0, 1, 2, -1
    trainer.pad_piece, trainer.eos_piece, trainer.unk_piece = "<pad>", "</s>", "<unk>"
    normalizer.name, normalizer.add_dummy_prefix = "identity", True
    normalizer.remove_extra_whitespaces, normalizer.escape_whitespaces = True, True
    path.write_bytes(proto.SerializeToString())
    return len(pieces)


def gemma_tokenizer() -> Tokenizer:
    """Gemma's tokenizer made small: byte fallback, spaces as ▁, ids and end mark as in SigLIP 2's checkpoints."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), SPACE, *LETTERS, *LETTERS[:26].upper(), ".", "?"]
    merges: list[tuple[str, str]] = []
    for word in WORDS.split():
        if word.isalpha():
            whole = SPACE
            for letter in word:
                merges.append((whole, letter))
                whole += letter
    merges = list(dict.fromkeys(merges))
    tokens += ["".join(pair) for pair in merges]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.enable_padding(length=CONTEXT, pad_id=0, pad_token="<pad>")
    tokenizer.enable_truncation(CONTEXT)
    return tokenizer


def siglip_model(vocabulary: int, *, projection: int = 48) -> SiglipModel:
    common = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    model = SiglipModel(
        SiglipConfig(
            text_config={
                **common,
                "hidden_size": 64,
                "vocab_size": vocabulary,
                "max_position_embeddings": CONTEXT,
                "projection_size": projection,
            },
            vision_config={**common, "hidden_size": 48, "image_size": EDGE, "patch_size": 16},
        )
    )
    useful_weights(model)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(SCALE))
        model.logit_bias.fill_(-1.5)
    return model


def encoder(model: SiglipModel) -> DualEncoder:
    """The PyTorch side, by Transformers' own methods."""
    model.eval()

    def logits(ids: Tensor, pixels: Tensor) -> Tensor:
        answer: Tensor = model(input_ids=ids, pixel_values=pixels).logits_per_image
        return answer

    return DualEncoder(
        texts=lambda ids: model.get_text_features(input_ids=ids).pooler_output,
        images=lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output,
        logits=logits,
    )


def image_processor(**more: object) -> dict[str, object]:
    return {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": HALF,
        "image_processor_type": "SiglipImageProcessor",
        "image_std": HALF,
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": EDGE, "width": EDGE},
        **more,
    }


def make_siglip(folder: Path) -> DualEncoder:
    """google/siglip-base-patch16-224: spiece.model, a config that knows only what is unlike the defaults."""
    model = siglip_model(pieces_model(folder / "spiece.model"))
    config = model.config
    text, vision = config.text_config.to_diff_dict(), config.vision_config.to_diff_dict()
    write_json(
        folder / "config.json",
        {
            "architectures": ["SiglipModel"],
            "initializer_factor": 1.0,
            "model_type": "siglip",
            "text_config": text,
            "torch_dtype": "float32",
            "transformers_version": "4.37.0.dev0",
            "vision_config": vision,
        },
    )
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "preprocessor_config.json", image_processor(processor_class="SiglipProcessor"))
    token = {"lstrip": True, "normalized": False, "rstrip": True, "single_word": False}
    write_json(
        folder / "special_tokens_map.json",
        {f"{name}_token": {**token, "content": text} for name, text in (("eos", "</s>"), ("pad", "</s>"))},
    )
    write_json(
        folder / "tokenizer_config.json",
        {
            "additional_special_tokens": [],
            "added_tokens_decoder": {"1": {**token, "content": "</s>", "special": True}},
            "clean_up_tokenization_spaces": True,
            "do_lower_case": True,
            "eos_token": "</s>",
            "model_input_names": ["input_ids"],
            "model_max_length": CONTEXT,
            "pad_token": "</s>",
            "processor_class": "SiglipProcessor",
            "sp_model_kwargs": {},
            "tokenizer_class": "SiglipTokenizer",
            "unk_token": "<unk>",
        },
    )
    return encoder(model)


def save_siglip2_tokenizer(folder: Path) -> int:
    tokenizer = gemma_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_eos_token": True,
            "bos_token": "<bos>",
            "clean_up_tokenization_spaces": False,
            "do_lower_case": True,
            "eos_token": "<eos>",
            "model_max_length": 1000000000000000019884624838656,
            "pad_token": "<pad>",
            "padding_side": "right",
            "processor_class": "SiglipProcessor",
            "tokenizer_class": "GemmaTokenizer",
            "unk_token": "<unk>",
        },
    )
    return int(tokenizer.get_vocab_size())


def make_siglip2(folder: Path) -> DualEncoder:
    """google/siglip2-base-patch16-224: type siglip, Gemma's tokenizer that no file says how long texts are."""
    model = siglip_model(save_siglip2_tokenizer(folder))
    model.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        image_processor(image_processor_type="SiglipImageProcessorFast", processor_class="SiglipProcessor", resample=2),
    )
    return encoder(model)


def make_siglip2_new(folder: Path) -> DualEncoder:
    """A fine-tune of SigLIP 2 saved by transformers 5 in bfloat16: shards, one processor_config.json."""
    model = siglip_model(save_siglip2_tokenizer(folder)).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    write_json(
        folder / "processor_config.json",
        {"image_processor": image_processor(data_format="channels_first"), "processor_class": "SiglipProcessor"},
    )
    return encoder(model.float())


CASES = (
    Case(name="siglip", family="siglip", make=make_siglip),
    Case(name="siglip2", family="siglip", make=make_siglip2),
    Case(name="siglip2-v5-bf16-shards", family="siglip", make=make_siglip2_new),
)
