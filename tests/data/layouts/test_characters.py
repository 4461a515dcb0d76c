from mamlprobe.data.layouts.characters import CHARACTERS, EVALUATION, character_splits, known_characters


def test_lists_have_the_published_numbers():
    known = known_characters()
    ordered = sorted(known, key=lambda name: (name.split("/")[0] in EVALUATION, name))
    for split, published in CHARACTERS.items():
        splits = character_splits(ordered, split)
        assert {each: splits.count(each) for each in published} == {
            each: count for each, (count, _) in published.items()
        }
    assert sum(name.split("/")[0] in EVALUATION for name in known) == 659
