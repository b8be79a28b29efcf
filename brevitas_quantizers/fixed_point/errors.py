"""Every error a user can cause derives from `QfxError`; its text is one line: who, rule, value."""

from __future__ import annotations


class QfxError(Exception):
    """Base of all errors raised on purpose by `brevitas_quantizers` and `qfx_plugin`."""


class FormatError(QfxError, ValueError):
    """A fixed-point format that cannot exist, or that cannot hold what is asked of it."""


class ModeError(QfxError, ValueError):
    """A rounding or overflow mode that is unknown, or that has no equivalent in a dialect."""


class DataError(QfxError, ValueError):
    """Values that no fixed-point format can represent: NaN, infinity, wrong kind, wrong shape."""


class OptionError(QfxError, ValueError):
    """A quantizer option that is misspelt, impossible, or in contradiction with another."""


class CalibrationError(QfxError, RuntimeError):
    """A quantizer is used before its binary point has been initialised from data."""


class ExportError(QfxError, RuntimeError):
    """A model that the export target cannot represent exactly."""


class ConversionError(QfxError, RuntimeError):
    """A float network that `quantize` cannot convert; the text lists every obstacle at once."""


class ModelImportError(QfxError, ValueError):
    """An ONNX file that cannot be read, or a node in it that is no exact fixed point."""


class ModelFileError(ModelImportError):
    """A model file that cannot be read: missing, truncated, cyclic, or not ONNX at all."""


class UnsupportedModelError(ModelImportError):
    """A readable model with an operation, attribute or number that has no exact integer meaning."""


class QfxWarning(UserWarning):
    """Something that the user asked for has changed numbers, or could not be kept."""


REASON_LENGTH = 300


def one_line(error: BaseException, *, whole: bool = False, typed: bool = False) -> str:
    """What an error says, in one line: its first that is not empty, or its type's name.

    Args:
        error: anybody's; of the system's, only what went wrong.
        whole: all of its lines as one.
        typed: its type's name first, unless it is an error of ours.
    """
    said = str(getattr(error, "strerror", None) or error)
    text = " ".join(said.split()) if whole else next(iter(said.strip().splitlines()), "").strip()
    named = not text or (typed and not isinstance(error, QfxError))
    return ": ".join([*([type(error).__name__] if named else []), *filter(None, [text])])[
        :REASON_LENGTH
    ]
