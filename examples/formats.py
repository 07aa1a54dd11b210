"""What several of the examples read: tensors of a safetensors file, and where the segments of documents end."""
import array
import json
import sys


def read_tensors(path):
    """Tensors of a safetensors file, all of them F32: name to (shape, numbers)."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            raise ValueError(f"'{path}': tensor '{name}' is {entry['dtype']}, expected F32")
        numbers = array.array("f")
        numbers.frombytes(data[begin + entry["data_offsets"][0]:begin + entry["data_offsets"][1]])
        if sys.byteorder == "big":
            numbers.byteswap()
        tensors[name] = (entry["shape"], numbers)
    return tensors


def segment_ends(listing):
    """Where in its text each segment ends, from what uio-inspect prints: {id: [(byte, whether the segment is full)]}."""
    ends = {}
    for record in map(json.loads, listing.splitlines()):
        if record["kind"] == "segment":
            ends.setdefault(record["id"], []).append((record["byte_end"], record["is_full"]))
    return ends
