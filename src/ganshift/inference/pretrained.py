"""What all models share: opening one by its name, saving it as a folder that can be handed on, and the hub."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from jaxtyping import UInt8
from PIL import Image
from torch import nn

from ..data.images import png_of
from ..errors import UserError, first_line
from ..files import json_bytes, write_output
from ..metrics.copying import VERDICT, load_verdict
from ..metrics.record_files import RECORDS
from ..metrics.score_record import load_record
from ..training import run_folder
from ..training.config import require, settings_from
from ..training.device import choose_device
from ..training.weights import build_on_paper, copy_weights, load_weights, serialised
from . import model_card as card
from .names import find_model, lies_here

Model = TypeVar("Model", bound="Pretrained")
CardGrids = Mapping[str, UInt8[np.ndarray, "h w 3"]]
"""Pictures of the model card by the names of their files."""
GRIDS = ("samples.png", "samples-a.png", "samples-b.png")
"""Names that pictures of model cards may have."""
PLACES = ("data", "a", "b", "out")
"""Settings that say where something lies on the machine that trained."""


class Pretrained(nn.Module, ModelHubMixin, ABC, library_name="ganshift"):
    """A trained model that knows what it is.

    It is a `huggingface_hub.ModelHubMixin`: `from_pretrained`, `save_pretrained` and `push_to_hub` are those of the
    hub's models. Of their PyTorch mixin it uses nothing, since that falls back to pickled weights, loads weights that
    do not fit, and writes a config.json of constructor arguments where ours describes the model and its training.
    """

    method: ClassVar[str]
    """The name of what trains such a model, as `config.json` has it."""
    noun: ClassVar[str]
    """What such a model is: generator or translator."""
    pipeline_tag: ClassVar[str]
    """What the hub calls what such models do."""
    tags: tuple[str, ...] = ()
    """Words that the hub finds a method's models by."""
    package: ClassVar[str] = ""
    """What the class is imported from; the module that defines it if left out."""
    papers: str = ""
    """Where the method was published, in Markdown, as a sentence or a part of one that ends with a full stop."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config: dict[str, Any] = {"method": self.method, **config}
        """What config.json says: networks, classes, and, of a trained model, data, settings and versions."""
        self._origin: Path | None = None

    @classmethod
    @abstractmethod
    def from_config(cls: type[Model], config: Mapping[str, Any]) -> Model:
        """A model with fresh weights of the networks that a config.json describes."""

    @abstractmethod
    def grids(self, pictures: Mapping[Any, Sequence[Any]] | None = None) -> CardGrids:
        """What the model card shows: the same pictures for the same weights."""

    @classmethod
    def from_pretrained(
        cls: type[Model],
        pretrained_model_name_or_path: str | Path,
        device: str = "auto",
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> Model:
        """Open a trained model by its name, with its averaged weights, ready to use and without gradients.

        The name is that of a run folder, of the model.safetensors in one, of a bundled model such as digits32, or an
        owner/model of the Hugging Face hub (`names.find_model` says which comes first). `device` is auto, cpu,
        cuda and the like. The other arguments are for the hub alone: see `huggingface_hub.snapshot_download`. Raises a
        `UserError` if there is no such model, it is of the other method, or its files are damaged.
        """
        if model_kwargs:
            raise UserError(f"the config.json of the model decides this: leave out {', '.join(model_kwargs)}")
        hub = {"force_download": force_download, "token": token, "cache_dir": cache_dir, "revision": revision}
        return cls.from_folder(
            find_model(pretrained_model_name_or_path, local_files_only=local_files_only, **hub), device
        )

    @classmethod
    def from_folder(cls: type[Model], folder: Path, device: str = "auto") -> Model:
        """Open the model in a folder that has been found already, also one that is called as a bundled model is."""
        config = run_folder.read_config(folder)
        if config.get("method") != cls.method:
            raise UserError(f"{folder} holds a {config.get('method')} run, not a {cls.method} run")
        where = str(folder / run_folder.CONFIG)
        model = build_on_paper(lambda: cls.from_config(config), where, f"a {cls.method} model")
        weights = load_weights(folder / run_folder.MODEL)
        copy_weights(model, weights, str(folder), "config.json and model are of different runs", assign=True)
        model.config, model._origin = config, folder
        return model.to(choose_device(device)).eval().requires_grad_(False)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: Any = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: Mapping[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write a folder that can be handed on and used wherever a run folder can.

        In it are config.json, model.safetensors, and README.md with its pictures: the model card. A model that was
        opened from a folder takes along from there what still belongs to its weights: its critic, so that it can be
        a --source, its cards, and the verdict on copying without the names of training images. Of places on this
        machine, config.json keeps the last part only. `model_card_kwargs` are the fields of `card.Notes`: a translator
        is shown on bundled photographs, or on `pictures` such as {"a": ["my.jpg"], "b": ["drawn.png"]}; `config`
        is there because the hub's mixin has it: it cannot be another than the model's own. A README.md that ganshift
        did not write stays. With `push_to_hub` the folder goes to `repo_id`, or else to its own name, and its address
        is returned.
        """
        folder, notes = Path(save_directory), settings_from(card.Notes, model_card_kwargs or {})
        require(config in (None, self.config), "a model is saved with its own config: leave config out")
        if any((folder / name).exists() for name in (run_folder.LOG, run_folder.CHECKPOINTS)):
            raise UserError(f"{folder} is the folder of a training run, which saving would spoil: name another")
        pictures = self.grids(notes.pictures)  # before anything is written, since pictures may be wrong
        files = self._files() | {name: png_of(Image.fromarray(pixels)) for name, pixels in pictures.items()}
        old = [folder / name for name in (*GRIDS, *run_folder.CRITICS, VERDICT)] + [*(folder / RECORDS).glob("*.json")]
        for name, content in files.items():
            write_output(folder / name, content)
        for path in old:
            if path.relative_to(folder).as_posix() not in files:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # there are records
            (folder / RECORDS).rmdir()
        card.write(folder, self.generate_model_card(folder=folder, **(model_card_kwargs or {})))
        if push_to_hub:
            name = repo_id or folder.name
            return self.push_to_hub(name, model_card_kwargs=model_card_kwargs, **push_to_hub_kwargs)
        return None

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Save into a repository of the Hugging Face hub, which is made if there is none; returns the commit's address.

        `options` are those of `huggingface_hub.ModelHubMixin.push_to_hub`, such as private, token and commit_message.
        Raises a `UserError` if the hub cannot be reached or does not let you.
        """
        notes = {"name": repo_id, **(options.pop("model_card_kwargs", None) or {})}
        try:
            return super().push_to_hub(repo_id, model_card_kwargs=notes, **options)
        except UserError:
            raise
        except Exception as error:  # the hub's client lets through whatever its HTTP library of the day raises
            raise UserError(
                f"the Hugging Face hub did not take {repo_id} ({first_line(error)}): check the name, the network and "
                "your login (hf auth login), or use save_pretrained"
            ) from error

    def generate_model_card(self, *, folder: Path | None = None, **notes: Any) -> ModelCard:
        """The README.md that `save_pretrained` writes; `folder` is what it saved so far, to be described and shown.

        `notes` are the fields of `card.Notes`.
        """
        config = run_folder.read_config(folder) if folder else self.config
        return card.model_card(self, _without_folders(config), folder, settings_from(card.Notes, notes))

    def _files(self) -> dict[str, bytes]:
        """What is handed on beside the model card, by name: of its origin, all that is of these very weights."""
        origin = self._origin if self._origin and self._is_in(self._origin) else None
        if origin is None:
            return {run_folder.MODEL: serialised(self), run_folder.CONFIG: json_bytes(_without_folders(self.config))}
        described = _without_folders(self.config) | card.history(origin)
        files = {run_folder.CONFIG: json_bytes(described)}
        for name in (run_folder.MODEL, *run_folder.CRITICS):
            if (origin / name).is_file():
                files[name] = (origin / name).read_bytes()
        model_hash = hashlib.sha256(files[run_folder.MODEL]).hexdigest()
        for path in sorted((origin / RECORDS).glob("*.json")):
            if load_record(path).model_hash == model_hash:
                files[f"{RECORDS}/{path.name}"] = path.read_bytes()
        verdict = load_verdict(origin)
        if verdict and verdict.model_hash == model_hash:
            files[VERDICT] = json_bytes({**vars(verdict), "pairs": []})
        return files

    def _is_in(self, folder: Path) -> bool:
        """Whether a folder still holds these very weights: a run may have gone on, or the weights been changed."""
        try:
            weights = load_weights(folder / run_folder.MODEL)
        except UserError:
            return False
        own = self.state_dict()
        return own.keys() == weights.keys() and all(torch.equal(own[name].cpu(), weights[name]) for name in own)


def enlarged(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A sheet as many times as large as fits on a page of 600 pixels, so that small pictures can be looked at."""
    times = max(1, 600 // pixels.shape[1])
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _without_folders(config: Any, key: str = "") -> Any:
    """A description in which places are their last part, so that handing a model on tells nothing of the machine."""
    if isinstance(config, dict):
        return {name: _without_folders(value, name) for name, value in config.items()}
    if isinstance(config, list):
        return [_without_folders(value) for value in config]
    is_place = isinstance(config, str) and (
        key in PLACES
        or Path(config).is_absolute()
        or PureWindowsPath(config).is_absolute()
        or (key == "source" and lies_here(config))
    )
    if is_place:
        return PureWindowsPath(config).name  # knows both slashes
    return config
