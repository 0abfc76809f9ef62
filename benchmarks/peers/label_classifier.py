"""An independent judge of labels: logistic regression over pieces of words and words, by scikit-learn.

    python benchmarks/peers/label_classifier.py < JSON

Reads {"train": [texts, labels], "judge": {name: texts}}, writes {name: labels}.
"""

from __future__ import annotations

import json
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union


def main() -> None:
    given = json.load(sys.stdin)
    texts, labels = given["train"]
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2, sublinear_tf=True)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    # Balanced: a rare label is guessed as readily as a common one.
    model = make_pipeline(make_union(pieces, words), LogisticRegression(C=10.0, class_weight="balanced", max_iter=300))
    model.fit(texts, labels)
    json.dump({name: model.predict(judged).tolist() for name, judged in given["judge"].items()}, sys.stdout)


if __name__ == "__main__":
    main()
