"""Where a run's numbers are shown besides log.jsonl: TensorBoard, and what accelerate knows by name.

TensorBoard's events lie in the run folder and are rewound with the log. What the other trackers were told cannot be
taken back, so a resumed run tells them nothing up to the images that they heard of last: a repeated stretch equals the
first, but after a rollback, where they keep what was told before it.

Tried: trackio 0.43 in tests/training/test_trackers.py; by hand, begun and resumed on disk, mlflow-skinny 3.17
(MLFLOW_ALLOW_FILE_STORE=true, MLFLOW_TRACKING_URI=file:mlruns) and wandb offline. Nothing was sent to a real server.
"""

import importlib.util
import json
import logging
import os
import sys
import threading
import types
import uuid
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, final

from ..errors import UserError, first_line
from ..files import read_text
from .run_folder import write_json

PROJECT = "ganshift"
"""Name under which Weights & Biases, MLflow and trackio keep runs."""
STATE = "trackers.json"
"""In the run folder: the run's name at each tracker, and the images that it was told of last."""
PATIENCE = {"init_timeout": 30, "login_timeout": 30}
"""Seconds that Weights & Biases may take to answer when a run starts."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""For MLflow, where they are not set: a server that does not answer must not hold up training."""
OFFLINE = {
    "wandb": "WANDB_MODE=offline keeps the run on disk",
    "mlflow": "MLFLOW_TRACKING_URI says where it keeps runs",
    "trackio": "without TRACKIO_SPACE_ID and TRACKIO_SERVER_URL it keeps runs on disk",
}
"""How each tracker that is a package, of the same name, does without a network."""
logger = logging.getLogger("ganshift")


def require_packages(names: Sequence[str]) -> None:
    """Raise a `UserError` for the first tracker whose package is not installed."""
    for name in names:
        if name in OFFLINE and importlib.util.find_spec(name) is None:
            raise UserError(
                f"tracker {name} needs a package that is not installed: pip install {name}, "
                "or leave it out of --tracker"
            )


@final
class Events:
    """TensorBoard events in the run folder."""

    def __init__(self, out: Path, images: int):
        # Where TensorFlow is installed, tensorboard would import all of it, which takes longer than a small run; this
        # is its own switch for the stand-in that it brings along.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from torch.utils.tensorboard import SummaryWriter

        self._hook, threading.excepthook = threading.excepthook, _not_write_errors
        self._events = SummaryWriter(str(out / "tensorboard"), purge_step=images + 1 if images else 0)

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        """Add a point to the curve of each name."""
        for name, value in values.items():
            self._events.add_scalar(name, value, images)

    def image(self, name: str, pixels: Any, images: int) -> None:
        """Add the picture."""
        self._events.add_image(name, pixels, images, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        try:
            self._events.close()
        finally:
            threading.excepthook = self._hook


def _not_write_errors(arguments: threading.ExceptHookArgs) -> None:
    """Print what ends a thread, but for errors in writing: TensorBoard's thread raises its own again in ours."""
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)


@final
class Foreign:
    """A tracker of accelerate's. Once it fails, a warning says so, and training goes on without it."""

    def __init__(self, name: str, out: Path, settings: Mapping[str, Any]):
        self._name, self._path = name, out / STATE
        self._failed = False
        state = _read_state(self._path)
        known = state.get(name, {})
        self._told = known.get("images", -1)
        self._passed_over = self._told
        self._id = known.get("run") or (None if name == "mlflow" else uuid.uuid4().hex[:12])
        try:
            with redirect_stdout(sys.stderr):
                self._tracker = _start(name, self._id, out, settings)
            if name == "mlflow":
                self._id = self._tracker.tracker.info.run_id
            self._write_state()
        except Exception as error:  # whatever a foreign package raises where its server or its disk is not there
            raise UserError(
                f"tracker {name} does not start ({first_line(error)}): {OFFLINE[name]}, or leave it out of --tracker"
            ) from error

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        """Log numbers, unless they were logged before the run was interrupted."""
        self._tell(images, lambda: self._tracker.log(dict(values), step=images))

    def image(self, name: str, pixels: Any, images: int) -> None:
        """Log a picture, where accelerate knows how."""
        if self._name == "wandb":
            self._tell(images, lambda: self._tracker.log_images({name: [pixels]}, step=images))

    def close(self) -> None:
        """End the tracker's run, which can be resumed."""
        if not self._failed:
            try:
                with redirect_stdout(sys.stderr):
                    self._tracker.finish()
            except Exception as error:  # as above
                self._give_up(error)

    def _tell(self, images: int, log: Any) -> None:
        if self._failed or images <= self._passed_over:
            return
        try:
            log()
        except Exception as error:  # as above
            self._give_up(error)
        else:
            if images > self._told:
                self._told = images
                self._write_state()

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        logger.warning("tracker %s failed (%s): training goes on without it", self._name, first_line(error))

    def _write_state(self) -> None:
        state = _read_state(self._path) | {self._name: {"run": self._id, "images": self._told}}
        write_json(self._path, state)


Tracker = Events | Foreign


def open_tracker(name: str, out: Path, images: int, settings: Mapping[str, Any]) -> Tracker:
    """Open a tracker of a run that goes on at `images`; a `UserError` if it cannot start."""
    return Events(out, images) if name == "tensorboard" else Foreign(name, out, settings)


def _start(name: str, run: str | None, out: Path, settings: Mapping[str, Any]) -> Any:
    """Start, or go on with, the run of that name at the tracker."""
    from accelerate import PartialState, tracking

    PartialState(
        cpu=True
    )  # its trackers ask it for the number of the process; where several train, it is there already
    if name == "mlflow":
        for variable, value in IMPATIENT.items():
            os.environ.setdefault(variable, value)
        tracker: Any = tracking.MLflowTracker(PROJECT, run_id=run, run_name=out.name)
        tracker.start()
        if run is None:  # what MLflow was told it does not change, and a resumed run may have another budget
            tracker.store_init_configuration(dict(settings))
        return tracker
    same: dict[str, Any] = {"id": run, "name": out.name, "dir": str(out), "settings": dict(PATIENCE)}
    if name == "trackio":  # goes by the name
        same = {"name": f"{out.name}-{run}", "embed": False}
    kind = {"wandb": tracking.WandBTracker, "trackio": tracking.TrackioTracker}[name]
    tracker = kind(PROJECT, resume="allow", config=dict(settings), **same)
    tracker.start()
    return tracker


def _read_state(path: Path) -> dict[str, Any]:
    """What `_write_state` wrote; nothing if it was never written, or is damaged."""
    try:
        state = json.loads(read_text(path))
        return {
            name: {"run": str(known["run"]), "images": int(known["images"])}
            for name, known in state.items()
            if name in OFFLINE
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
