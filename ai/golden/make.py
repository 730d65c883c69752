#!/usr/bin/env python3
"""Makes minilm.json: what all-MiniLM-L6-v2 answers to some texts, computed with numpy alone.

It shares no code with Skein: the vocabulary, the cutting into word pieces, the encoder and the reading of safetensors are written
out here, in 64-bit floats. Run it when the texts change:

    python golden/make.py FOLDER-OF-THE-MODEL > golden/minilm.json
"""

import json
import math
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np

TEXTS = [
    "A dog runs through the park.",
    "A puppy is running on the grass.",
    "The central bank raised interest rates by a quarter of a point.",
    "How do I install a package on Debian?",
    "apt-get install brings a package and what it needs onto the system.",
    "Crème brûlée déjà-vu, naïve façade!",
    "東京は日本の首都です。",
    "x",
    "ERROR 0x80070005: access denied (user=admin, path=/etc/shadow)",
    "The quick brown fox jumps over the lazy dog. " * 60,
]
PAIRS = [[0, 1], [0, 2], [3, 4], [2, 4], [5, 6], [0, 9]]
MAX_TOKENS = 256
HEADS = 12
LAYERS = 6


def tensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size :]
    return {
        name: np.frombuffer(body[slice(*info["data_offsets"])], dtype="<f4").reshape(info["shape"]).astype(np.float64)
        for name, info in header.items()
        if info["dtype"] == "F32"
    }


def is_punctuation(char: str) -> bool:
    code = ord(char)
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(char).startswith("P")


def is_chinese(char: str) -> bool:
    return 0x4E00 <= ord(char) <= 0x9FFF or 0x3400 <= ord(char) <= 0x4DBF


def words(text: str) -> list[str]:
    text = unicodedata.normalize("NFD", text.lower())
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    text = "".join(f" {c} " if is_chinese(c) or is_punctuation(c) else c for c in text)
    return text.split()


def pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            part = ("##" if start else "") + word[start:end]
            if part in vocabulary:
                found.append(vocabulary[part])
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return found


def tokens(text: str, vocabulary: dict[str, int]) -> list[int]:
    ids = [piece for word in words(text) for piece in pieces(word, vocabulary)][: MAX_TOKENS - 2]
    return [vocabulary["[CLS]"], *ids, vocabulary["[SEP]"]]


def embed(ids: list[int], w: dict[str, np.ndarray]) -> np.ndarray:
    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.position_embeddings.weight"][: len(ids)] + w[f"{e}.token_type_embeddings.weight"][0]
    x = norm(x, f"{e}.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        q, k, v = (linear(x, f"{layer}.attention.self.{p}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2) for p in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(linear(mixed, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = 0.5 * inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def main() -> None:
    folder = Path(sys.argv[1])
    vocabulary = {line: i for i, line in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").split("\n"))}
    weights = tensors(folder / "model.safetensors")
    ids = [tokens(text, vocabulary) for text in TEXTS]
    vectors = [embed(i, weights) for i in ids]
    golden = {
        "texts": [
            {"text": text, "tokens": len(i), "start": [round(float(x), 7) for x in vector[:8]]}
            for text, i, vector in zip(TEXTS, ids, vectors, strict=True)
        ],
        "cosines": [{"pair": pair, "cosine": round(float(vectors[pair[0]] @ vectors[pair[1]]), 7)} for pair in PAIRS],
    }
    json.dump(golden, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
