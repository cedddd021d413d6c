"""A small BERT pretrained on the corpus to be labelled: the teacher's base where no other is given.

Characters are the tokens, as in the Chinese BERTs. What comes out is an ordinary Hugging Face folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from models.errors import DataError, SettingsError
from models.folders import publish
from models.tasks import TeacherSettings
from models.teachers.huggingface import save
from models.teachers.tokenisation import tokenise
from models.text.vocabulary import Encoded
from models.training.batching import length_batches, ramp
from models.training.devices import device, half_precision, reproducible

Progress: TypeAlias = Callable[[int, int, float], None]
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BATCH = 64
LEARNING_RATE = 1e-3
MASKED, REPLACED, KEPT = 0.15, 0.1, 0.1  # Devlin et al. 2018 (arXiv:1810.04805), section 3.1


def build_tokenizer(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """A BERT tokenizer of single characters: lower case, white space dropped, the rest one token each.

    Args:
        texts: Where the characters are counted; ties in count go by code point.
        size: Largest vocabulary, the five special tokens included.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.lower())
    ranked = sorted((char for char in counts if not char.isspace()), key=lambda char: (-counts[char], char))
    tokens = [*SPECIALS, *ranked[: max(size - len(SPECIALS), 0)]]
    tokenizer = Tokenizer(
        WordPiece({token: at for at, token in enumerate(tokens)}, unk_token="[UNK]", max_input_chars_per_word=1)
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.FixedLength(1)])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def pretrain(
    texts: Sequence[str],
    settings: TeacherSettings,
    *,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> Path:
    """Train a BERT to guess masked characters, and save it.

    It ends after `pretrain_steps` batches, however long they take: the same arguments, machine and threads give the
    same weights.

    Args:
        texts: The corpus; the first `pretrain_texts` of it are read.
        settings: Sizes and limits.
        seed: For the first weights, the order and the masks.
        folder: Gets config.json, model.safetensors and the tokenizer; made whole or not at all.
        progress: Called after each batch with batches done, batches planned and the batch's loss.

    Raises:
        DataError: There are no texts.
        SettingsError: `hidden` is no multiple of `heads`.
        BundleError: `folder` exists with other content.
    """
    if not texts:
        raise DataError("pretraining: got no texts, expected a corpus; ingest and clean first")
    if settings.hidden % settings.heads:
        raise SettingsError(
            f"teacher: hidden {settings.hidden} is no multiple of heads {settings.heads}; change either"
        )
    texts = texts[: settings.pretrain_texts]
    tokenizer = build_tokenizer(texts, settings.vocabulary_size)
    encoded = tokenise(tokenizer, texts, settings.max_tokens).encoded
    with reproducible(seed):
        model = BertForMaskedLM(_config(len(tokenizer), settings)).to(device())
        _Pretraining(model, encoded, settings, seed).run(progress)
    return publish(folder, lambda staging: save(model.cpu(), tokenizer, staging))


def mask_tokens(
    ids: NDArray[np.int64], candidates: NDArray[np.bool_], vocabulary_size: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Hide some tokens for the model to guess.

    Args:
        ids: (rows, length).
        candidates: Same shape, True where a token may be hidden.
        vocabulary_size: Replacements are drawn from the ids above the special tokens.
        random: Decides.

    Returns:
        The ids to show (of the hidden, 80% are [MASK], 10% another token, 10% themselves), and which are
        hidden: at least one if there is a candidate.
    """
    draw = np.where(candidates, random.random(ids.shape), 2.0)
    hidden = draw < MASKED
    if candidates.any() and not hidden.any():
        hidden.flat[int(draw.argmin())] = True
    kind = random.random(ids.shape)
    others = random.integers(len(SPECIALS), max(vocabulary_size, len(SPECIALS) + 1), ids.shape)
    shown = np.where(kind < 1 - REPLACED - KEPT, SPECIALS.index("[MASK]"), np.where(kind < 1 - KEPT, others, ids))
    return np.where(hidden, shown, ids), hidden


def _config(vocabulary_size: int, settings: TeacherSettings) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden,
        max_position_embeddings=settings.max_tokens,
        pad_token_id=0,
    )


class _Pretraining:
    """The masked-language-model loop over one corpus."""

    def __init__(self, model: Any, encoded: Encoded, settings: TeacherSettings, seed: int) -> None:
        self.model = model
        self.encoded = encoded
        self.settings = settings
        self.random = np.random.default_rng(seed)
        self.where = next(model.parameters()).device
        self.optimiser = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)

    def run(self, progress: Progress | None) -> None:
        """Train all steps; the learning rate follows them."""
        steps = self.settings.pretrain_steps
        self.model.train()
        batches: list[NDArray[np.int64]] = []
        for step in range(steps):
            if not batches:
                batches = length_batches(self.encoded.lengths, BATCH, self.random)
            loss = self._step(batches.pop(), ramp((step + 0.5) / steps))
            if progress is not None:
                progress(step + 1, steps, loss)

    def _step(self, rows: NDArray[np.int64], rate: float) -> float:
        ids, lengths = self.encoded.padded(rows, at_least=1)
        size = self.model.config.vocab_size
        shown, hidden = mask_tokens(ids, ids >= len(SPECIALS), size, self.random)
        if not hidden.any():  # a batch of empty texts
            return 0.0
        self.optimiser.param_groups[0]["lr"] = LEARNING_RATE * rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(shown, lengths, hidden, ids[hidden])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def _loss(
        self,
        shown: NDArray[np.int64],
        lengths: NDArray[np.int64],
        hidden: NDArray[np.bool_],
        wanted: NDArray[np.int64],
    ) -> Tensor:
        attention = np.arange(shown.shape[1]) < lengths[:, None]
        with half_precision(self.where):
            states = self.model.bert(
                input_ids=torch.from_numpy(shown).to(self.where),
                attention_mask=torch.from_numpy(attention.astype(np.int64)).to(self.where),
            ).last_hidden_state
            # Only hidden positions meet the vocabulary: it would be most of the work of so small a model.
            guesses = self.model.cls(states[torch.from_numpy(hidden).to(self.where)])
        return F.cross_entropy(guesses.float(), torch.from_numpy(wanted).to(self.where))
