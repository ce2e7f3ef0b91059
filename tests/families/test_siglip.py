"""SigLIP and SigLIP 2: the same ids in transformers.js as in Python, the whole context, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import Siglip2Tokenizer

from builder.errors import CheckpointError
from builder.export.repo import write_files
from builder.families._contract import Parts
from tests.checkpoints._case import WORDS, DualEncoder
from tests.checkpoints.siglip import CONTEXT, make_siglip, make_siglip2, make_siglip2_new, save_siglip2_tokenizer
from tests.families._edit import edit, load

WEB_TEMPLATE = Path(__file__).parents[2] / "web_template"
END = 1
TEXTS = (
    "a red cup",
    "What is in the picture ?",
    "  a   Blue-ball, on the SIGN!! ",
    'how many "dogs"? (two)',
    "- a cup",
    "naïve café straße ¿qué?",
    "line\nbreak\ttab",
    "it's 3.5 cm",
    "ＦＵＬＬ width… ﬁne",
    "a_b#c ▁ d",
    "!!!",
    "one two three four five six seven eight nine ten eleven twelve",
)
MAKERS = pytest.mark.parametrize("make", (make_siglip, make_siglip2, make_siglip2_new))
Make = Callable[[Path], DualEncoder]


def tokenizer_of(parts: Parts) -> Tokenizer:
    assert isinstance(parts.tokenizer, Tokenizer)
    return parts.tokenizer


def tokenize_in_node(node: str, parts: Parts, checkpoint: Path, texts: tuple[str, ...]) -> dict[str, list[list[int]]]:
    folder = checkpoint.with_name("tokenizer-web")
    folder.mkdir()
    write_files(parts, checkpoint, folder)
    request = {"web_template": str(WEB_TEMPLATE), "models": str(folder.parent), "name": folder.name, "texts": texts}
    command = [node, str(Path(__file__).with_name("tokenize.mjs")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[list[int]]] = json.loads(done.stdout.splitlines()[-1])
    return answer


@MAKERS
def test_transformers_js_gives_the_ids_of_the_fast_tokenizer(make: Make, node: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    make(checkpoint)
    parts = load(checkpoint)
    answer = tokenize_in_node(node, parts, checkpoint, TEXTS)
    tokenizer = tokenizer_of(parts)
    wanted = [tokenizer.encode(text).ids for text in TEXTS]
    assert answer["ids"] == wanted
    padding = tokenizer.token_to_id(str(parts.tokenizer_settings["pad_token"]))
    assert answer["padded"] == [(ids + [padding] * CONTEXT)[:CONTEXT] for ids in wanted]
    assert any(len(ids) > CONTEXT for ids in wanted), "one text is cut off"


def test_siglip_text_is_lower_cased_freed_of_punctuation_and_ended(tmp_path: Path) -> None:
    make_siglip(tmp_path)
    tokens = tokenizer_of(load(tmp_path)).encode("What is  in the PICTURE, ball?! ").tokens
    assert tokens == ["▁what", "▁is", "▁in", "▁the", "▁picture", "▁ball", "</s>"]


def test_siglip_text_keeps_its_case_where_the_checkpoint_says_so(tmp_path: Path) -> None:
    make_siglip(tmp_path)
    edit(tmp_path / "tokenizer_config.json", do_lower_case=False)
    tokens = tokenizer_of(load(tmp_path)).encode("the CUP").tokens
    assert tokens[0] == "▁the" and "▁cup" not in tokens


def test_siglip_ids_are_those_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="SiglipTokenizer is Python around sentencepiece")
    from transformers import SiglipTokenizer

    make_siglip(tmp_path)
    ours, reference = tokenizer_of(load(tmp_path)), SiglipTokenizer.from_pretrained(tmp_path)
    assert [ours.encode(text).ids for text in TEXTS] == [reference(text).input_ids for text in TEXTS]


@pytest.mark.parametrize("rule", ("nmt_nfkc", "nfkc_cf", "identity"))
def test_siglip_ids_are_those_of_transformers_by_every_normalization(rule: str, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="SiglipTokenizer is Python around sentencepiece")
    from transformers import SiglipTokenizer

    make_siglip(tmp_path)
    corpus = [WORDS] * 50 + [*TEXTS] * 5
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=130,
        model_type="unigram",
        normalization_rule_name=rule,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    ours, reference = tokenizer_of(load(tmp_path)), SiglipTokenizer.from_pretrained(tmp_path)
    assert [ours.encode(text).ids for text in TEXTS] == [reference(text).input_ids for text in TEXTS]


def test_siglip2_ids_are_those_of_its_own_tokenizer_in_transformers(tmp_path: Path) -> None:
    make_siglip2(tmp_path)
    ours, reference = tokenizer_of(load(tmp_path)), Siglip2Tokenizer.from_pretrained(tmp_path)
    wanted = [reference(text, padding=False, truncation=False).input_ids for text in TEXTS]
    assert [ours.encode(text).ids for text in TEXTS] == wanted


def test_siglip2_tokenizer_without_end_mark_gets_one(tmp_path: Path) -> None:
    make_siglip2(tmp_path)
    path = tmp_path / "tokenizer.json"
    plain = Tokenizer.from_file(str(path))
    wanted = tokenizer_of(load(tmp_path)).encode("a red cup").ids
    plain.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    plain.save(str(path))
    assert tokenizer_of(load(tmp_path)).encode("a red cup").ids == wanted
    assert wanted[-1] == END


def test_siglip2_tokenizer_that_was_exported_before_is_left_as_it_is(tmp_path: Path) -> None:
    make_siglip2(tmp_path)
    first = tokenizer_of(load(tmp_path))
    first.save(str(tmp_path / "tokenizer.json"))
    assert json.loads(tokenizer_of(load(tmp_path)).to_str()) == json.loads(first.to_str())


@MAKERS
def test_tokenizer_of_a_web_model_pads_to_the_context_on_the_right(make: Make, tmp_path: Path) -> None:
    make(tmp_path)
    settings = load(tmp_path).tokenizer_settings
    assert (settings["padding_side"], settings["model_max_length"]) == ("right", CONTEXT)


@MAKERS
def test_short_and_cut_texts_give_the_vectors_of_whole_ones(make: Make, tmp_path: Path) -> None:
    reference = make(tmp_path)
    parts = load(tmp_path)
    text = parts.encoders[0].module.float()
    padding = parts.configs["config.json"]["text_config"]["pad_token_id"]
    words = torch.randint(5, 200, (3, CONTEXT), generator=torch.Generator().manual_seed(0))
    end = torch.full((3, 1), END)
    short = torch.cat([words[:, :4], end], dim=1)
    whole = torch.cat([short, torch.full((3, CONTEXT - 5), padding)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(text(short)[1], reference.texts(whole), atol=1e-5, rtol=1e-5)
        kept = torch.cat([words[:, :-1], end], dim=1)  # as transformers cuts; transformers.js cuts the end mark off
        torch.testing.assert_close(text(words)[1], reference.texts(kept), atol=1e-5, rtol=1e-5)


def test_naflex_is_refused_with_what_to_take_instead(tmp_path: Path) -> None:
    make_siglip2(tmp_path)
    edit(tmp_path / "config.json", model_type="siglip2")
    with pytest.raises(CheckpointError, match="NaFlex") as raised:
        load(tmp_path)
    assert "google/siglip2-base-patch16-224" in raised.value.hint


def test_tower_without_pooling_is_refused(tmp_path: Path) -> None:
    make_siglip(tmp_path)
    config: dict[str, Any] = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    edit(tmp_path / "config.json", vision_config={**config["vision_config"], "vision_use_head": False})
    with pytest.raises(CheckpointError, match="without pooling"):
        load(tmp_path)


def test_tokenizer_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    make_siglip2(tmp_path)
    edit(tmp_path / "tokenizer_config.json", eos_token="<nowhere>")
    with pytest.raises(CheckpointError, match="'<nowhere>' is token None"):
        load(tmp_path)


def test_sentencepiece_file_that_is_none_is_named(tmp_path: Path) -> None:
    make_siglip(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(CheckpointError, match=r"spiece\.model is no"):
        load(tmp_path)


def test_siglip_checkpoint_without_tokenizer_is_refused(tmp_path: Path) -> None:
    make_siglip(tmp_path)
    for name in ("spiece.model", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load(tmp_path)


def test_sentencepiece_model_comes_before_a_tokenizer_json(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    make_siglip(tmp_path)
    save_siglip2_tokenizer(tmp_path / "other")
    shutil.copyfile(tmp_path / "other/tokenizer.json", tmp_path / "tokenizer.json")
    assert tokenizer_of(load(tmp_path)).encode("the cup").tokens == ["▁the", "▁cup", "</s>"]
