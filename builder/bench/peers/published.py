"""Web models that lie on the Hub, by the sizes that their file pages state (read in November 2026)."""

from __future__ import annotations

from dataclasses import dataclass

from builder.bench.peers._contract import Peer

PEER = Peer(name="published", summary="the web models on the Hub, by their published sizes")


@dataclass(frozen=True, kw_only=True)
class PublishedFiles:
    """A choice of files of one repository: what a page downloads of it, in MB, without tokenizer and settings."""

    architecture: str
    label: str
    megabytes: float
    source: str


FASTVLM = "file pages of huggingface.co/onnx-community/FastVLM-0.5B-ONNX"
MOBILECLIP = (
    "file pages of huggingface.co/Xenova/mobileclip_s0 and, for vision, of a copy of it; the first generation, whose "
    "text tower is smaller (42 against 63 million parameters): of the second only fp32 is published"
)
FILES = (
    PublishedFiles(
        architecture="FastVLM-0.5B",
        label="published, as its card recommends",
        megabytes=272 + 505 + 317,
        source=f"{FASTVLM}: embed_tokens fp16 272 MB, vision_encoder q4 505 MB, decoder q4 317 MB",
    ),
    PublishedFiles(
        architecture="FastVLM-0.5B",
        label="published, smallest",
        megabytes=272 + 253 + 282,
        source=f"{FASTVLM}: embed_tokens fp16 272 MB, vision_encoder q4f16 253 MB, decoder q4f16 282 MB",
    ),
    PublishedFiles(
        architecture="MobileCLIP2-S0",
        label="published MobileCLIP-S0, fp16",
        megabytes=22.9 + 85,
        source=f"{MOBILECLIP}: vision fp16 22.9 MB, text fp16 85 MB",
    ),
    PublishedFiles(
        architecture="MobileCLIP2-S0",
        label="published MobileCLIP-S0, q8",
        megabytes=11.8 + 42.8,
        source=f"{MOBILECLIP}: vision q8 11.8 MB, text q8 42.8 MB; 8-bit activations give wrong answers on WebGPU",
    ),
)
