# SPDX-License-Identifier: Apache-2.0
"""Export: a fitted scikit-learn vectorizer as the file that the step `vectorize` reads.

``from gateway.lab.export import export`` and then ``export(vectorizer, "vectorizer.json")``, where
scikit-learn is; the gateway does not need it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.steps.vectorizer import FORMAT, Vectorizer

_KINDS: Final = {
    "CountVectorizer": "count",
    "TfidfVectorizer": "tfidf",
    "HashingVectorizer": "hashing",
}


def export(vectorizer: Any, path: str | Path) -> Vectorizer:  # noqa: ANN401 - scikit-learn's
    """Write *vectorizer*, a fitted Count-, Tfidf- or HashingVectorizer, to *path*.

    Raises TypeError for anything else, ValueError for one that calls functions of its owner, whose
    results no file can have, or is not fitted.
    """
    made = described(vectorizer)
    Path(path).write_bytes(msgspec.json.encode(made))
    return made


def described(vectorizer: Any) -> Vectorizer:  # noqa: ANN401 - as above
    """*vectorizer* as its file has it; raises as `export`."""
    name = type(vectorizer).__name__
    kind = _KINDS.get(name)
    if kind is None:
        raise TypeError(f"a {name} was given; expected one of {', '.join(_KINDS)}")
    given = vectorizer.get_params(deep=False)
    for parameter in ("preprocessor", "tokenizer"):
        if given[parameter] is not None:
            raise ValueError(f"{name} has a {parameter} of its own, which cannot be exported")
    for parameter in ("analyzer", "strip_accents"):
        own = callable(given[parameter])
        if own:
            raise ValueError(f"{name} has an {parameter} of its own, which cannot be exported")
    if given["input"] != "content" or given["encoding"].lower().replace("_", "-") != "utf-8":
        raise ValueError(f"{name} reads {given['input']} as {given['encoding']}, not UTF-8 texts")
    word = given["analyzer"] == "word"
    values: dict[str, Any] = {
        "format": FORMAT,
        "kind": kind,
        "analyzer": given["analyzer"],
        "lowercase": given["lowercase"],
        "strip_accents": given["strip_accents"],
        # What another analyzer does not use is left at its default.
        **({"token_pattern": given["token_pattern"]} if word else {}),
        "stop_words": tuple(sorted(vectorizer.get_stop_words() or ())) if word else (),
        "ngram_range": tuple(int(size) for size in given["ngram_range"]),
        "binary": given["binary"],
        "norm": given.get("norm"),
    }
    if kind == "hashing":
        values["features"] = int(given["n_features"])
        values["alternate_sign"] = given["alternate_sign"]
    else:
        values |= _vocabulary(vectorizer, name)
    if kind == "tfidf":
        values["sublinear_tf"] = given["sublinear_tf"]
        if given["use_idf"]:
            values["idf"] = tuple(float(weight) for weight in vectorizer.idf_)
    return msgspec.convert(values, Vectorizer)


def _vocabulary(vectorizer: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - as above
    columns: dict[str, int] | None = getattr(vectorizer, "vocabulary_", None)
    if columns is None:
        raise ValueError(f"{name} is not fitted: it has no vocabulary yet")
    return {"features": len(columns), "vocabulary": tuple(sorted(columns, key=columns.__getitem__))}
