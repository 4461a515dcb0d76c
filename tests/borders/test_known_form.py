import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.known_form import known_form

TABLE = pd.DataFrame({"word": ["a", "b"], "value": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("use", "word"),
    [
        (lambda: TABLE["step"], "KeyError: 'step'"),
        (lambda: TABLE["word"].sum() / 2, "TypeError: unsupported operand"),
        (lambda: TABLE[TABLE["word"] == "c"].iloc[0], "IndexError: single positional indexer"),
        (lambda: float(TABLE["word"].iloc[0]), "ValueError: could not convert"),
        (lambda: TABLE.steps, "AttributeError: 'DataFrame' object has no attribute"),
        (lambda: 1 // int(TABLE["value"].iloc[0] - 1), "ZeroDivisionError: "),
    ],
)
def test_what_goes_wrong_is_one_line_with_its_place(use, word):
    with pytest.raises(UserError) as info, known_form("here", "the table must be ours", "make it again"):
        use()
    message = str(info.value)
    assert message.startswith("here: the table must be ours, got one that makes no figure (")
    assert word in message
    assert " at test_known_form.py:" in message
    assert message.endswith("; make it again")
    assert "\n" not in message


def test_the_users_errors_and_faults_of_the_machine_stay():
    with pytest.raises(UserError, match=r"^a: b, got c; d$"), known_form("here", "it must", "do"):
        raise UserError("a", "b", "c", "d")
    with pytest.raises(MemoryError), known_form("here", "it must", "do"):
        raise MemoryError


def test_what_goes_well_is_left_alone():
    with known_form("here", "it must", "do"):
        total = TABLE["value"].sum()
    assert total == 3.0
