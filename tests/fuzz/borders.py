"""Every place where something comes in from outside: what may come, and the call that takes it."""

import hashlib
import inspect
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save

import mamlprobe as mp
from mamlprobe.borders.tf1_bundle import MAGIC
from mamlprobe.reports.asked import ANSWERS, QUESTIONS, paired
from mamlprobe.reports.seeds import run_rows
from mamlprobe.reports.store import read_answer
from mamlprobe.runs.checkpoint import checkpoint_path
from tests.foreign.recipes import RECIPES
from tests.foreign.tf1_files import Bundle
from tests.foreign.tf_nets import CHARACTERS, as_keras, finn_arrays, keras_arrays
from tests.fuzz import spoiling as bad
from tests.fuzz.box import Box, as_file, net_of_ones_own
from tests.fuzz.data_files import loaded, spoiled_files
from tests.fuzz.doors import right_calls

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Border:
    """One kind of input: `inputs` to draw from, and what is done with each."""

    inputs: Callable[[Box], st.SearchStrategy[Any]]
    act: Callable[[Box, Any], object]
    weight: float = 1.0
    """Share of the inputs, relative to the others."""


def _written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def _all_of(run: mp.Run) -> object:
    return run.config, run.env, run.imported, run.assumed, run.done, run.net(), run.theta()


def _of_run(name: str, then: Callable[[mp.Run], object]) -> Callable[[Box, bytes], object]:
    def act(box: Box, content: bytes) -> object:
        run = box.copy_run()
        _written(run, name, content)
        return then(mp.load_run(run))

    return act


def _answered(box: Box, content: bytes) -> object:
    """An answer that has the digest of its bytes is read if it is whole, and summed up."""
    run, columns = box.copy_run(), ANSWERS["scores"].columns
    name = f"scores-{'0' * 16}-{hashlib.sha256(content).hexdigest()[:16]}.csv"
    _written(run, f"answers/{name}", content)
    read = read_answer(run, "scores", "0" * 16, columns, 2)
    if read is None:
        raise mp.UserError("report", "an answer must be whole", "another", "it is computed again")
    return [run_rows(table, QUESTIONS["accuracy"].by) for table in (read[0], paired(read[0])) if len(table)]


ANSWER = "variant,task,step,quantity,value,norm\n" + "".join(
    f"{variant},{task},5,accuracy,0.{task}5,batch\n" for variant in ("keep", "nil") for task in range(2)
)


def _checkpoint(box: Box) -> st.SearchStrategy[bytes]:
    """Damaged bytes, or a header of another content with the right length."""
    good = checkpoint_path(box.run, 2).read_bytes()
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])

    def whole(content: bytes) -> bytes:
        return struct.pack("<Q", len(content)) + content + good[8 + length :]

    def inner(content: bytes) -> bytes:
        text = content.decode("utf-8", "replace")
        return whole(json.dumps({**header, "__metadata__": {"checkpoint": text}}).encode())

    words = json.loads(header["__metadata__"]["checkpoint"])
    return bad.spoiled_bytes(good) | bad.spoiled_json(header).map(whole) | bad.spoiled_json(words).map(inner)


def _resumed(box: Box, content: bytes) -> object:
    run = box.copy_run()
    (run / "done").unlink()
    checkpoint_path(run, 2).unlink()
    _written(run, "log.csv", content)
    experiment = mp.load_run(run).config
    out = box.here / "runs"
    out.mkdir()
    run.rename(out / box_name(experiment))
    return mp.train(experiment, out, progress=False)


def box_name(experiment: mp.Experiment) -> str:
    from mamlprobe.runs.experiment import run_name

    return run_name(experiment)


def _imported(box: Box, content: bytes) -> object:
    from mamlprobe.runs.import_weights import import_kao

    path = _written(box.fresh(), "net.pt", content)
    return import_kao(path)


def _stated(box: Box, content: bytes) -> object:
    from mamlprobe.runs.import_weights import import_state_dict

    path = _written(box.fresh(), "net.pt", content)
    return import_state_dict(path, module="tests.fuzz.borders:net_of_ones_own", head="4", image=(1, 2, 2))


def _kao_state(box: Box) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    sizes, place = [1, 4, 4], 0
    for before, after in pairwise(sizes):
        for shape in ((after, before, 3, 3), (after,), (after,), (after,)):
            state[f"vars.{place}"] = torch.ones(shape)
            place += 1
    state[f"vars.{place}"], state[f"vars.{place + 1}"] = torch.ones(3, 4 * 7 * 7), torch.ones(3)
    for block in range(2):
        state[f"vars_bn.{2 * block}"], state[f"vars_bn.{2 * block + 1}"] = torch.zeros(4), torch.ones(4)
    return state


def _episodes(box: Box) -> mp.Episodes:
    pool = mp.load_pool(box.good / "images", size=10)
    return mp.sample(pool, split="test", way=3, shot=1, query=2, tasks=2, seed=0)


def _parts(box: Box) -> dict[str, Any]:
    episodes = _episodes(box)
    return {each.name: getattr(episodes, each.name) for each in fields(mp.Episodes)}


def _judged(box: Box, parts: dict[str, Any]) -> object:
    run = mp.load_run(box.run)
    if not set(parts) <= set(_parts(box)) or not {"support_x", "support_y", "query_x", "query_y"} <= set(parts):
        return None  # Python itself says so
    return mp.evaluate(run.net(), run.theta(), mp.Episodes(**parts), {"plain": run.config.method})


def _with_theta(box: Box, state: dict[str, Any]) -> object:
    run = mp.load_run(box.run)
    theta = mp.Theta(net=state)
    return mp.evaluate(run.net(), theta, _episodes(box), {"plain": run.config.method})


def _pictures(box: Box, picture: tuple[str, bytes]) -> object:
    from tests.tiny import write_images

    folder = write_images(box.fresh() / "set", "L")
    _written(folder / "train" / "train0", *picture)
    return mp.load_pool(folder)


def _zipped(box: Box, content: bytes) -> object:
    return mp.load_pool(_written(box.fresh(), "set.zip", content))


def _saved_pool(box: Box, content: bytes) -> object:
    from mamlprobe.data.saved_pool import load_saved

    return load_saved(_written(box.fresh(), "pool.safetensors", content))


def _foreign_files(box: Box) -> st.SearchStrategy[bytes]:
    """Files of a net of another project: as torch, numpy and safetensors save it, whole modules too; and damaged."""
    state = RECIPES["torchmeta's examples or BOIL"].made().saved
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
    files = [as_file(state), as_file({"model": module, "accuracy": np.float64(3)}), as_file(state, legacy=True)]
    arrays = io.BytesIO()
    np.savez(arrays, **{name: value.numpy() for name, value in state.items()})
    files += [arrays.getvalue(), save(state), pickle.dumps({name: value.numpy() for name, value in state.items()}, 2)]
    files += [TENSORFLOW.index(), as_keras(keras_arrays(CHARACTERS, "batch_normalization"))]
    return bad.spoiled_pickle(state, box.canary) | st.sampled_from(files).flatmap(bad.spoiled_bytes)


TENSORFLOW = Bundle(finn_arrays(CHARACTERS))


def _told(box: Box, content: bytes) -> object:
    folder = box.fresh()
    if content.endswith(MAGIC):
        _written(folder, "net.pt.data-00000-of-00001", TENSORFLOW.data)
    return mp.load_foreign(_written(folder, "net.pt", content)).lines


def _manifest(box: Box, content: bytes) -> object:
    return mp.read_manifest(_written(box.fresh(), "tasks.json", content), mp.load_pool(box.good / "images", size=10))


SCRIPTS = ("raghu_table1_freezing", "raghu_b3_distance", "imaml_error", "kao_fig8_terms", "oh_boil", "kao_fig6_orders")


def _figure_tables(box: Box) -> st.SearchStrategy[tuple[str, bytes]]:
    tables = {name: (ROOT / "figures" / f"{name}.csv").read_text() for name in SCRIPTS}
    return st.sampled_from(SCRIPTS).flatmap(lambda name: bad.spoiled_table(tables[name]).map(lambda text: (name, text)))


def _redrawn(box: Box, table: tuple[str, bytes]) -> object:
    from analyses.__main__ import main

    name, content = table
    out = box.fresh() / "figures"
    _written(out, f"{name}.csv", content)
    _written(out, f"provenance/{name}.json", (ROOT / "figures" / "provenance" / f"{name}.json").read_bytes())
    return Exit(main([name, "--from-table", "--out", str(out)]))


def _probe_tables(box: Box) -> st.SearchStrategy[tuple[str, bytes]]:
    tables = {path.stem: path.read_text() for path in sorted((box.good / "probes").glob("*.csv"))}
    names = st.sampled_from(sorted(tables))
    return names.flatmap(lambda name: bad.spoiled_table(tables[name]).map(lambda text: (name, text)))


def _drawn_again(box: Box, table: tuple[str, bytes]) -> object:
    from mamlprobe.cli import main

    name, content = table
    path = _written(box.fresh(), f"{name}.csv", content)
    return Exit(main(["probe", name, "--from-table", str(path), "--figure", str(box.here / "figure.png")]))


def _published(box: Box, content: bytes) -> object:
    from analyses.__main__ import main

    out = box.fresh() / "figures"
    _written(out, f"{SCRIPTS[0]}.csv", (ROOT / "figures" / f"{SCRIPTS[0]}.csv").read_bytes())
    _written(out, f"provenance/{SCRIPTS[0]}.json", content)
    return Exit(main([SCRIPTS[0], "--from-table", "--out", str(out)]))


class Exit(int):
    """An exit code, which must be 0 or 2."""


def _options(box: Box) -> list[str]:
    from mamlprobe.cli import COMMANDS
    from mamlprobe.commands.arguments.options import option_names

    return sorted({name for each in option_names(COMMANDS).values() for name in each} - {"--updates"})


def _commanded(box: Box, argv: list[str]) -> object:
    from mamlprobe.cli import main

    os.chdir(box.fresh())
    if argv[0] == "train":  # one update of a tiny net, whatever else is said
        argv = [*argv, "--preset", "smoke", "--updates", "1", "--validation-tasks", "0", "--out", "runs"]
    if argv[0] == "certify":  # a small net, for the usual one takes its time
        argv = [argv[0], str(box.run), *argv[1:]]
    if argv[0] == "reproduce":  # nothing is trained
        argv = [*argv, "--from-table"]
    if argv[0] in ("evaluate", "probe", "report") and str(box.run) in argv:
        argv = [*argv, "--episodes", "2"]
    return Exit(main(argv))


def _wrong_arguments(box: Box) -> st.SearchStrategy[tuple[str, str, Any]]:
    doors = right_calls(box)
    others = {f"the right {name}": value for _, right in doors.values() for name, value in right.items()}
    wrong = bad.odd_values() | st.sampled_from(sorted(others)).map(lambda name: Named(name, others[name]))
    return st.sampled_from(sorted(doors)).flatmap(
        lambda name: st.tuples(
            st.just(name), st.sampled_from(sorted(inspect.signature(doors[name][0]).parameters)), wrong
        )
    )


class Named:
    """A value that belongs elsewhere, by its name."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def __repr__(self) -> str:
        return self.name


def _called(box: Box, wrong: tuple[str, str, Any]) -> object:
    name, argument, value = wrong
    function, right = right_calls(box)[name]
    os.chdir(box.fresh())
    return function(**{**right, argument: value.value if isinstance(value, Named) else value})


VALUES: list[Any] = [mp.METHODS["maml"], mp.METHODS["maml"].inner, mp.METHODS["mamlpp"].norm, mp.METHODS["imaml"].outer]
VALUES += [mp.NetSpec(), mp.Data(), mp.recipe("maml", "smoke")]


def _settings(box: Box) -> st.SearchStrategy[tuple[Any, str, Any]]:
    return st.sampled_from(VALUES).flatmap(
        lambda value: st.tuples(
            st.just(value), st.sampled_from([each.name for each in fields(value)]), bad.nests | bad.odd_values()
        )
    )


def _set(box: Box, change: tuple[Any, str, Any]) -> object:
    value, name, odd = change
    made = replace(value, **{name: odd})
    if isinstance(made, mp.Experiment):
        return None
    return made if is_dataclass(made) else None


def _good(name: str) -> Callable[[Box], bytes]:
    return lambda box: (box.good / name).read_bytes()


BORDERS: dict[str, Border] = {
    "config": Border(
        lambda box: bad.spoiled_json(json.loads((box.run / "config.json").read_text())), _of_run("config.json", _all_of)
    ),
    "environment": Border(
        lambda box: bad.spoiled_json(json.loads((box.run / "env.json").read_text())), _of_run("env.json", _all_of)
    ),
    "log": Border(
        lambda box: bad.spoiled_table((box.run / "log.csv").read_text()), _of_run("log.csv", lambda run: run.log)
    ),
    "hook table": Border(
        lambda box: bad.spoiled_table((box.run / "tables" / "hooked.csv").read_text()),
        _of_run("tables/hooked.csv", lambda run: run.table("hooked")),
        0.5,
    ),
    "answer": Border(lambda box: bad.spoiled_table(ANSWER), _answered, 0.5),
    "checkpoint": Border(_checkpoint, _of_run("checkpoints/u000002.safetensors", _all_of), 2),
    "resumed": Border(lambda box: bad.spoiled_table((box.run / "log.csv").read_text()), _resumed, 0.2),
    "kao file": Border(lambda box: bad.spoiled_pickle(_kao_state(box), box.canary), _imported, 2),
    "state dict": Border(lambda box: bad.spoiled_pickle(dict(net_of_ones_own().state_dict()), box.canary), _stated),
    "foreign file": Border(_foreign_files, _told, 2),
    "theta": Border(lambda box: bad.spoiled_state(dict(mp.load_run(box.run).theta().net)), _with_theta),
    "episodes": Border(lambda box: bad.spoiled_state(_parts(box)), _judged, 2),
    "pictures": Border(lambda box: bad.spoiled_picture(), _pictures),
    "zip": Border(lambda box: bad.spoiled_zip((box.good / "images/train/train0/0.png").read_bytes()), _zipped),
    "data files": Border(spoiled_files, loaded, 2),
    "saved pool": Border(lambda box: bad.spoiled_bytes((box.good / "pool.safetensors").read_bytes()), _saved_pool, 0.5),
    "manifest": Border(lambda box: bad.spoiled_json(json.loads(_good("tasks.json")(box))), _manifest),
    "figure table": Border(_figure_tables, _redrawn, 0.3),
    "probe table": Border(_probe_tables, _drawn_again, 0.7),
    "provenance": Border(
        lambda box: bad.spoiled_json(json.loads((ROOT / "figures/provenance" / f"{SCRIPTS[0]}.json").read_text())),
        _published,
        0.3,
    ),
    "command line": Border(lambda box: bad.command_lines(str(box.run), _options(box)), _commanded, 3),
    "arguments": Border(_wrong_arguments, _called, 3),
    "settings": Border(_settings, _set, 1),
}
"""Name -> border."""
