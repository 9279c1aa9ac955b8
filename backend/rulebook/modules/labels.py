"""The words of a fact as people read them: with their labels, if the module gives them."""

from collections.abc import Sequence

from backend.i18n import Text


def labelled_words(words: Sequence[str], labels: Sequence[Text]) -> Text:
    """Return words, each after its label, such as `低收入（low）、高收入（high）`; the words alone without labels."""
    if not labels:
        return Text(zh="、".join(words), en=", ".join(words))
    pairs = list(zip(words, labels, strict=True))
    return Text(
        zh="、".join(f"{label.zh}（{word}）" for word, label in pairs),
        en=", ".join(f"{label.en} ({word})" for word, label in pairs),
    )
