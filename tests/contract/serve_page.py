"""The SDK's Serve page as a browser uses it, without a browser."""

from __future__ import annotations

from typing import Any

from live import RunningApp


class Page:
    """What a browser keeps of the page: ids of widgets and the state it sends with each click."""

    def __init__(self, app: RunningApp) -> None:
        self.app = app
        self.html = app.client.get("/").text
        self.state: dict[str, Any] = app.client.post("/sly/state").json()

    def widget(self, kind: str) -> str:
        return next(name for name in self.state if name.startswith(kind))

    def button(self, text: str) -> str:
        data = self.app.client.post("/sly/data").json()
        return next(name for name, one in data.items() if one and one.get("text") == text)

    def press(self, text: str) -> Any:
        body = {"state": self.state, "context": {}}
        return self.app.post(f"{self.button(text)}/button_clicked_cb", body)

    def choose(self, arch: str, row: int = 0) -> None:
        self.state[self.widget("PretrainedModelsSelector")] |= {
            "selectedArchType": arch,
            "selectedRow": row,
        }

    def choose_external(self, path: str) -> None:
        """Type a path in Team Files into the tab for models of other origin."""
        self.state[self.widget("RadioTabs")]["value"] = "External models"
        (place,) = (
            name
            for name, one in self.state.items()
            if name.startswith("Input") and not one["value"].endswith("External Model")
        )
        self.state[place]["value"] = path

    def choose_experiment(self, row: int = 0) -> None:
        """Select a row of the tab for models trained on the platform."""
        self.state[self.widget("RadioTabs")]["value"] = "Custom models"
        table = self.state[self.widget("FastTable")]
        table["selectedRows"] = [{"idx": row, "row": [], "id": row}]

    def shows(self, name: str) -> bool:
        """Tell whether a widget is shown."""
        return self.app.client.post("/sly/data").json()[name]["hide"] is False
