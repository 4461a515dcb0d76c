"""The base class of operations that know their own derivative: torch's, with the type that torch leaves out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    class Function(torch.autograd.Function):
        """`torch.autograd.Function`; ``apply`` returns what ``forward`` does."""

        @classmethod
        def apply(cls, *args: Any, **kwargs: Any) -> Any:
            """Run forward, and record backward for autograd."""

else:
    from torch.autograd import Function as Function
