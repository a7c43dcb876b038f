"""What a fine-tuned model must beat: the most frequent label, and a linear model over words and characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright.evaluation.predictions import predict_split
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from tunewright.config.schema import EvaluationConfig
    from tunewright.data.dataset import Examples
    from tunewright.evaluation.predictions import Predictions

UNBALANCED = 10
"""Classes are weighted when the largest is this many times the smallest, as training does."""
WORD = r"\w+|[^\w\s]"
"""Punctuation counts as a word, so that no text is without features."""
MAX_FEATURES = 100_000
"""Most frequent words, and as many character sequences: bounds memory on a large corpus."""
INVERSE_PENALTY = 10.0
"""Weak penalty; of 10 and 30 with or without rare features, the best on SMS spam and banking77 together."""
MAX_STEPS = 300
TOLERANCE = 1e-3
"""Where the solver stops: tighter costs time and changes no answer on those data sets."""


@dataclass(frozen=True, slots=True)
class _Constant:
    """Gives every text the same logits."""

    line: np.ndarray

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Repeat the line for each text."""
        import numpy as np

        return np.tile(self.line, (len(texts), 1))


@dataclass(frozen=True, slots=True)
class _Linear:
    """TF-IDF features under a logistic regression."""

    features: Any
    regression: Any
    count: int
    """Labels in the data set; those that training has not seen get a probability of 0."""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return log-probabilities, which are logits too."""
        import numpy as np

        known = self.regression.predict_log_proba(self.features.transform(texts))
        logits = np.full((len(texts), self.count), -np.inf)
        logits[:, self.regression.classes_] = known
        return logits

    @property
    def size_bytes(self) -> int:
        """Bytes of weights and vocabulary."""
        weights = self.regression.coef_.nbytes + self.regression.intercept_.nbytes
        for _, part in self.features.transformer_list:
            weights += part.idf_.nbytes + sum(len(term.encode()) for term in part.vocabulary_)
        return int(weights)


def majority(
    train: Examples, test: Examples, label_names: Sequence[str], config: EvaluationConfig
) -> Predictions:
    """Answer every text with the label frequencies of the training rows."""
    import numpy as np

    counts = np.bincount(_labels(train), minlength=len(label_names))
    with np.errstate(divide="ignore"):
        scorer = _Constant(np.log(counts / counts.sum()))
    return predict_split(
        scorer, test, name="majority", role="trivial", config=config, size_bytes=scorer.line.nbytes
    )


def tfidf(
    train: Examples, test: Examples, label_names: Sequence[str], config: EvaluationConfig, *, seed: int
) -> Predictions:
    """Fit TF-IDF over words (1 to 2) and characters (2 to 4) with a logistic regression, and score the test rows."""
    labels = _labels(train)
    if len(set(train.labels)) == 1:  # nothing to tell apart: a regression can't be fitted
        return majority(train, test, label_names, config)
    features = _features()
    matrix = features.fit_transform(train.texts)
    scorer = _Linear(features, _regression(labels, seed=seed).fit(matrix, labels), len(label_names))
    return predict_split(
        scorer, test, name="tfidf", role="trivial", config=config, size_bytes=scorer.size_bytes
    )


def _labels(train: Examples) -> np.ndarray:
    """Return the class ids of the training rows."""
    import numpy as np

    if not len(train):
        raise InputError("there are no training rows", place="baselines", mend="lower data.test_share")
    return np.asarray(train.labels, dtype=np.int64)


def _features() -> Any:  # noqa: ANN401
    """Return the unfitted features."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    shared = {"sublinear_tf": True, "max_features": MAX_FEATURES, "dtype": np.float32}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, **shared)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), **shared)
    return FeatureUnion([("words", words), ("characters", characters)])


def _regression(labels: np.ndarray, *, seed: int) -> Any:  # noqa: ANN401
    """Return the unfitted regression, with classes weighted when they are far from balanced."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    counts = np.unique(labels, return_counts=True)[1]
    weight = "balanced" if counts.max() >= UNBALANCED * counts.min() else None
    return LogisticRegression(
        C=INVERSE_PENALTY, class_weight=weight, max_iter=MAX_STEPS, tol=TOLERANCE, random_state=seed
    )
