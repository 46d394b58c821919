"""How large random subsets are. No torch, so that costs can ask."""


def smallest_size(pool_size: int, num_classes: int) -> int:
    """Return the smallest subset drawn from a pool.

    Choice: max(2c, 10), and half the pool where the pool is smaller than twice that.
    """
    return max(1, min(max(2 * num_classes, 10), pool_size // 2))
