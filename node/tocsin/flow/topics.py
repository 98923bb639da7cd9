"""Topic names of a node (protocol section 8): one partition each."""


def stream(node: str, audience: str) -> str:
    """The stream that `node` writes for one audience."""
    return f"tocsin.{node}.out.{audience}"


def submissions(node: str, lab: str) -> str:
    """Where `lab` writes its submissions to `node`; not a stream."""
    return f"tocsin.{node}.in.{lab}"


def receipts(node: str, lab: str) -> str:
    """Where `node` answers `lab` with signed receipts."""
    return f"tocsin.{node}.back.{lab}"


def info(node: str) -> str:
    """The compacted topic of the node's descriptor and policies."""
    return f"tocsin.{node}.info"
