"""Data sets: real digits by default, MNIST and CIFAR-10 from small generated files."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.demo.data import Dataset, load_dataset
from qfx_plugin.errors import DataError


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("QFX_DATA", raising=False)


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path, rng) -> Path:
    """A data folder with 5 training and 3 test images; training gzipped, test plain."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for split, samples, packed in (("train", 5, True), ("t10k", 3, False)):
        images = idx_bytes(rng.integers(0, 256, (samples, 28, 28)))
        labels = idx_bytes(np.arange(samples))
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{split}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return tmp_path


def assert_consistent(data: Dataset) -> None:
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.shape == (len(y), *data.image_shape)
        assert y.min() >= 0 and y.max() < data.classes
        codes = x.astype(np.float64) / data.input_format.lsb
        np.testing.assert_array_equal(codes, np.round(codes))
        assert codes.min() >= data.input_format.min_code
        assert codes.max() <= data.input_format.max_code


def test_digits_are_the_default_and_fixed():
    data, again = load_dataset(), load_dataset("digits")
    assert data.name == "digits"
    assert data.image_shape == (1, 8, 8)
    assert (len(data.x_train), len(data.x_test)) == (1347, 450)
    assert str(data.input_format) == "ap_ufixed<5,1>" and data.input_bits == 5
    assert_consistent(data)
    np.testing.assert_array_equal(data.x_test, again.x_test)
    shares = np.bincount(data.y_test) / len(data.y_test)
    np.testing.assert_allclose(shares, np.bincount(data.y_train) / len(data.y_train), atol=0.003)


def test_mnist_from_qfx_data(mnist, monkeypatch):
    monkeypatch.setenv("QFX_DATA", str(mnist))
    data = load_dataset()
    assert data.name == "mnist"
    assert data.image_shape == (1, 28, 28)
    assert str(data.input_format) == "ap_ufixed<8,0>"
    assert data.y_train.tolist() == [0, 1, 2, 3, 4]
    assert_consistent(data)
    raw = (mnist / "mnist" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert (data.x_test * 256).astype(np.uint8).tobytes() == raw


def test_digits_can_be_asked_for_with_qfx_data_set(mnist, monkeypatch):
    monkeypatch.setenv("QFX_DATA", str(mnist))
    assert load_dataset("digits").name == "digits"


def test_unknown_name():
    with pytest.raises(DataError) as error:
        load_dataset("imagenet")
    assert str(error.value) == "data set must be one of digits, mnist, cifar10, not 'imagenet'"


def test_mnist_without_folder():
    with pytest.raises(DataError) as error:
        load_dataset("mnist")
    assert str(error.value) == (
        "mnist is read from a folder: set QFX_DATA to the one holding mnist/"
    )


def refuse(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        load_dataset("mnist", folder)
    return str(error.value).replace(str(folder), "DATA")


def test_missing_file(mnist):
    (mnist / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    assert refuse(mnist) == (
        "DATA/mnist: holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"
    )


def test_truncated_gzip(mnist):
    path = mnist / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    assert refuse(mnist).startswith("DATA/mnist/train-images-idx3-ubyte.gz: truncated or damaged: ")


def test_not_gzip_at_all(mnist):
    (mnist / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"<html>not found</html>")
    assert refuse(mnist).startswith("DATA/mnist/train-images-idx3-ubyte.gz: truncated or damaged: ")


def test_truncated_plain(mnist):
    path = mnist / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert refuse(mnist) == (
        "DATA/mnist/t10k-images-idx3-ubyte: header promises 2368 bytes, the file holds 2367"
    )


def test_truncated_header(mnist):
    path = mnist / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:9])
    assert refuse(mnist) == (
        "DATA/mnist/t10k-images-idx3-ubyte: truncated in its header, 9 of 16 bytes"
    )


def test_labels_in_place_of_images(mnist):
    folder = mnist / "mnist"
    (folder / "t10k-images-idx3-ubyte").write_bytes(
        (folder / "t10k-labels-idx1-ubyte").read_bytes()
    )
    assert refuse(mnist) == (
        "DATA/mnist/t10k-images-idx3-ubyte: must start with 0x00000803, not 0x00000801"
    )


def test_counts_differ(mnist):
    (mnist / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(4)))
    assert refuse(mnist) == "DATA/mnist: t10k has 3 images but 4 labels"


def test_label_out_of_range(mnist):
    (mnist / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([0, 10, 2])))
    assert refuse(mnist) == "DATA/mnist: t10k labels must be digits 0 to 9, not 10"


def test_sizes_differ(mnist):
    path = mnist / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.zeros((3, 32, 28))))
    assert refuse(mnist) == "DATA/mnist: training images are 28x28, test images 32x28"


def write_cifar10(folder: Path, split: str, rng: np.random.Generator, size: int = 32) -> Path:
    from PIL import Image

    folder.mkdir(exist_ok=True)
    path = folder / f"cifar10-jpeg-{split}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("truck", "airplane"):
            for index in range(2):
                packed = io.BytesIO()
                pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(packed, "JPEG")
                archive.writestr(f"{split}/{name}/{index:04}.jpg", packed.getvalue())
    return path


def test_cifar10(tmp_path, rng):
    for split in ("train", "test"):
        write_cifar10(tmp_path / "cifar10", split, rng)
    data = load_dataset("cifar10", tmp_path)
    assert data.image_shape == (3, 32, 32)
    assert data.class_names == ("airplane", "truck")
    assert data.y_train.tolist() == [0, 0, 1, 1]
    assert_consistent(data)


def test_cifar10_of_the_wrong_size(tmp_path, rng):
    path = write_cifar10(tmp_path / "cifar10", "train", rng, size=28)
    with pytest.raises(DataError) as error:
        load_dataset("cifar10", tmp_path)
    assert str(error.value) == f"{path}: train/airplane/0000.jpg must be 32x32 pixels, not 28x28"


def test_cifar10_truncated(tmp_path, rng):
    path = write_cifar10(tmp_path / "cifar10", "train", rng)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError) as error:
        load_dataset("cifar10", tmp_path)
    assert str(error.value) == f"{path}: truncated or damaged: File is not a zip file"


def test_cifar10_missing(tmp_path):
    with pytest.raises(DataError) as error:
        load_dataset("cifar10", tmp_path)
    assert str(error.value) == f"{tmp_path}/cifar10: holds no cifar10-jpeg-train.zip"
