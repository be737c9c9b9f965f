"""The pictures of the README and the pages, made anew from a project with the files of this one.

`python -m tests.contract.pictures` runs the pipeline and three experiments there (some two minutes) and
writes .github/images/. What MLflow shows is taken with Chromium and playwright (`pip install playwright`),
which nothing else needs. plots.png alone is taken by hand: the page of `dvc plots show` loads a library from
the net.
"""

import os
import pty
import shutil
import subprocess
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tests.people.pages import Step, player
from tests.people.project import REPOSITORY, Project, copy_repository

IMAGES = REPOSITORY / ".github/images"
LETTERS = 104  # of a line of the terminal
# Else MLflow opens its assistant over a third of the page.
HELPED = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
ASKED = ("predictflow lineage churn-predictor@staging", "predictflow lineage data/customers.csv")
EXPERIMENTS = {
    "shallow": "models.xgboost.max_depth=1",
    "linear": "train.model=logistic_regression",
    "forest": "train.model=random_forest",
}
# The page of each, and a text that it ends with.
SHOWN = {
    "runs.png": ("experiments/1/runs", "matching runs"),
    "version.png": ("models/churn-predictor/versions/1", "Tags"),
}


def make_project(folder: Path) -> Project:
    """One in which the pipeline was run, and three experiments."""
    project = Project(folder / "project", folder / "home")
    project.folder.mkdir()
    (folder / "home").mkdir()
    copy_repository(project.folder)
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.commit("The first model")
    project.run("python", "-m", "predictflow.telco")
    project.repro()
    for name, setting in EXPERIMENTS.items():
        click.echo(f"experiment {name}")
        project.run("dvc", "exp", "run", "--temp", "--name", name, "-S", setting, "evaluate")
    return project


def print_in_colour(project: Project, command: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    env = project.env | {"COLUMNS": str(LETTERS), "TERM": "xterm-256color"}
    parts = []
    with subprocess.Popen(command.split(), cwd=project.folder, env=env, stdout=theirs):
        os.close(theirs)
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:
            pass  # so Linux tells that nobody writes there any more
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


def draw_lineage(project: Project) -> None:
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=LETTERS, file=nowhere, force_terminal=True)
        for command in ASKED:
            console.print(f"[bold green]$ {command}[/]", highlight=False)
            console.print(Text.from_ansi(print_in_colour(project, command).rstrip()))
        console.save_svg(str(IMAGES / "lineage.svg"), title="predictflow lineage", unique_id="lineage")


def take_screens(project: Project) -> None:
    from playwright.sync_api import sync_playwright

    ui = "mlflow ui --backend-store-uri sqlite:///mlflow_data/mlflow.db --workers 1 --port 5000"
    with player(project) as one, sync_playwright() as browsers:
        one.do(Step(ui, None))
        browser = browsers.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1250, "height": 1000})
        page.add_init_script(f"localStorage.setItem('{HELPED}', 'true')")
        for image, (address, last) in SHOWN.items():
            page.goto("about:blank")  # else no page is loaded: the address differs behind its # alone
            page.goto(f"http://127.0.0.1:{one.port('5000')}/#/{address}")
            page.get_by_text(last).first.wait_for()
            page.wait_for_timeout(2000)  # until what is drawn moves no more
            page.screenshot(path=IMAGES / image)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = make_project(Path(folder))
        draw_lineage(made)
        take_screens(made)
    click.echo(f"{IMAGES.relative_to(REPOSITORY)}: lineage.svg, {', '.join(SHOWN)}")
