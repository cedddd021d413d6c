"""A bundle opens only as it was sealed; every damage is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import digests
from models.errors import BundleError
from models.folders import publish
from models.serving.bundle import BundleFacts, Parity, open_bundle, seal
from models.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("好", "a", "\n"))
FACTS = BundleFacts(
    model_id="praise/textcnn/0123456789ab",
    task="praise",
    kind="textcnn",
    labels=("asks", "got"),
    max_length=64,
    min_length=4,
    clean_version="1",
    opset=20,
    parity=Parity(max_difference=1e-7, grid={"batches": (1, 2), "lengths": (4, 24)}),
    extra={"round": "praise/textcnn/01"},
)
NAMES = ["labels.json", "manifest.json", "model.onnx", "vocabulary.json"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return seal(tmp_path / "bundle", model=bytes(range(256)), vocabulary=VOCABULARY, facts=FACTS)


def test_a_sealed_bundle_opens_with_all_its_facts(bundle: Path) -> None:
    opened = open_bundle(str(bundle))
    assert {name: getattr(opened.manifest, name) for name in BundleFacts.model_fields} == dict(FACTS)
    assert opened.manifest.vocabulary_size == 5
    assert opened.manifest.files["model.onnx"] == digests.of_bytes(bytes(range(256)))
    assert opened.vocabulary == VOCABULARY
    assert opened.model.read_bytes() == bytes(range(256))
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle"]


def test_a_bundle_opens_behind_a_link_as_spark_makes_them(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bundle)
    assert open_bundle(tmp_path / "link").manifest.labels == FACTS.labels


def test_sealing_the_same_again_changes_nothing(bundle: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in bundle.iterdir()}
    seal(bundle, model=bytes(range(256)), vocabulary=VOCABULARY, facts=FACTS)
    assert {path.name: path.stat().st_mtime_ns for path in bundle.iterdir()} == before


def test_sealing_something_else_in_its_place_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"differs in manifest.json, model.onnx"):
        seal(bundle, model=b"other", vocabulary=VOCABULARY, facts=FACTS)
    assert open_bundle(bundle).model.read_bytes() == bytes(range(256))
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle"]


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        publish(tmp_path / "bundle", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes((bundle / name).read_bytes()[:-2])
    with pytest.raises(BundleError, match=name):
        open_bundle(bundle)


@pytest.mark.parametrize("name", NAMES)
def test_any_flipped_bit_is_refused(bundle: Path, name: str) -> None:
    original = (bundle / name).read_bytes()
    for at in range(0, len(original), 7):
        damaged = bytearray(original)
        damaged[at] ^= 1
        (bundle / name).write_bytes(damaged)
        # A flip of white space between the manifest's fields says nothing else; all others must be seen.
        if name == "manifest.json" and _same_json(original, bytes(damaged)):
            continue
        with pytest.raises(BundleError, match=name):
            open_bundle(bundle)


def _same_json(a: bytes, b: bytes) -> bool:
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return False


@pytest.mark.parametrize("name", NAMES)
def test_a_link_in_a_files_place_is_refused(bundle: Path, name: str, tmp_path: Path) -> None:
    (bundle / name).rename(tmp_path / name)
    (bundle / name).symlink_to(tmp_path / name)
    with pytest.raises(BundleError, match=f"{name} is not a plain file"):
        open_bundle(bundle)


def test_a_surplus_file_is_refused(bundle: Path) -> None:
    (bundle / "model.onnx.data").touch()
    with pytest.raises(BundleError, match=r"holds model.onnx.data"):
        open_bundle(bundle)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        open_bundle(tmp_path / "nowhere")


def edited(bundle: Path, *, reseal: bool, **changes: object) -> None:
    """Change the manifest by hand; `reseal` also repairs its own digest."""
    content = json.loads((bundle / "manifest.json").read_bytes()) | changes
    if reseal:
        content["digest"] = digests.of_json({key: content[key] for key in content if key != "digest"})
    (bundle / "manifest.json").write_text(json.dumps(content))


def test_swapped_labels_are_refused(bundle: Path) -> None:
    edited(bundle, reseal=False, labels=["got", "asks"])
    with pytest.raises(BundleError, match=r"manifest.json has digest"):
        open_bundle(bundle)
    edited(bundle, reseal=True)
    with pytest.raises(BundleError, match=r"labels.json and manifest.json list other labels"):
        open_bundle(bundle)


def test_a_vocabulary_of_another_size_is_refused(bundle: Path) -> None:
    edited(bundle, reseal=True, vocabulary_size=6)
    with pytest.raises(BundleError, match=r"vocabulary.json holds 5 ids, manifest.json says 6"):
        open_bundle(bundle)


@pytest.mark.parametrize("changes", [{"format": 2}, {"labels": []}, {"surprise": 1}, {"max_length": "long"}])
def test_a_manifest_of_another_format_is_refused(bundle: Path, changes: dict[str, object]) -> None:
    edited(bundle, reseal=True, **changes)
    with pytest.raises(BundleError, match="not a manifest of format 1"):
        open_bundle(bundle)


def test_a_manifest_that_is_no_json_is_refused(bundle: Path) -> None:
    (bundle / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match=r"manifest.json: not a manifest"):
        open_bundle(bundle)
