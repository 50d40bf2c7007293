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

    def shows(self, name: str) -> bool:
        """Tell whether a widget is shown."""
        return self.app.client.post("/sly/data").json()[name]["hide"] is False
