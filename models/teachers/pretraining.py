"""Pretraining on the corpus to be labelled: a small BERT from nothing, or a given model further, by masked tokens.

What comes out is an ordinary Hugging Face folder, which a teacher begins as.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from torch import nn
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from models.errors import DataError, SettingsError
from models.folders import publish
from models.tasks import TeacherSettings
from models.teachers.checkpoint_checks import check_known
from models.teachers.huggingface import load_masked_model, save, with_revision
from models.teachers.joint_teacher import rate_of
from models.teachers.masked_training import MaskedLanguageModel, MaskedTraining, Progress, Schedule
from models.teachers.masking import word_distances
from models.teachers.replaced_tokens import ReplacedTokenDetection, small_electra
from models.teachers.tokenisation import tokenise
from models.training.devices import device, reproducible

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LEARNING_RATE = 1e-3  # of the small BERT


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
    base: str | None = None,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> Path:
    """Train a transformer on a corpus, to guess hidden tokens or to tell replaced ones, and save it.

    It ends after the settings' steps of pretraining, however long they take: the same arguments, machine and threads
    give the same weights, also where it was killed in between and went on from a checkpoint.

    Args:
        texts: The corpus; the first `pretrain_texts` of it are read.
        settings: Sizes of the small BERT, limits and schedule.
        seed: For the first weights, the order and the masks.
        folder: Gets config.json, model.safetensors and the tokenizer; made whole or not at all.
        base: A folder or a name on the hub: the model that is trained further, by its own tokenizer and at the rate of
            fine-tuning for its width; one without layers that guess tokens gets new ones. None: a small BERT of
            characters, which begins at random.
        progress: Called after each batch with batches done, batches planned and the batch's loss.
        checkpoints: A folder of this pretraining's own, where its state is kept until it is done.

    Raises:
        DataError: There are no texts.
        SettingsError: `hidden` is no multiple of `heads`; or `base` is no whole model, its tokenizer does not know the
            texts, or does not tell where its tokens stand for whole words, or it cannot guess tokens.
        EnvError: The hub cannot be reached or does not have `base`; or jieba is not installed, for whole words.
        BundleError: `folder` exists with other content.
    """
    if not texts:
        raise DataError("pretraining: got no texts, expected a corpus; ingest and clean first")
    texts = texts[: settings.pretrain_texts]
    with reproducible(seed):
        tokenizer, model = _small_bert(texts, settings) if base is None else _given(base)
        longest = min(settings.max_tokens, model.config.max_position_embeddings)
        tokens = tokenise(tokenizer, texts, longest)
        if base is not None:
            check_known(base, tokenizer, tokens)
        rate = LEARNING_RATE if base is None else rate_of(model.config.hidden_size)
        schedule = Schedule(settings.pretraining_steps, rate, settings.masked_shares, seed)
        whole = settings.pretrain_masking == "whole_words"
        words = word_distances(tokenizer, texts, longest) if whole else None
        objective = _objective(model.to(device()), settings)
        MaskedTraining(objective, tokens.encoded, tokenizer, schedule, words).run(progress, checkpoints)
    made = publish(folder, lambda staging: save(model.cpu(), tokenizer, staging))
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return made


def _small_bert(texts: Sequence[str], settings: TeacherSettings) -> tuple[Any, Any]:
    """Tokenizer and model that know nothing yet."""
    if settings.hidden % settings.heads:
        raise SettingsError(
            f"teacher: hidden {settings.hidden} is no multiple of heads {settings.heads}; change either"
        )
    tokenizer = build_tokenizer(texts, settings.vocabulary_size)
    if settings.pretrain_objective == "rtd":
        return tokenizer, small_electra(len(tokenizer), settings)
    return tokenizer, BertForMaskedLM(_config(len(tokenizer), settings))


def _objective(model: Any, settings: TeacherSettings) -> nn.Module:
    if settings.pretrain_objective == "rtd":
        return ReplacedTokenDetection(model, settings)
    return MaskedLanguageModel(model)


def _given(base: str) -> tuple[Any, Any]:
    """Tokenizer and model that are trained further; of one from the hub, its config says which revision it was."""
    tokenizer, model = load_masked_model(base)
    if (read := with_revision(base, model)) != base:
        model.config.pingti_went_on_from = read
    return tokenizer, model


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
