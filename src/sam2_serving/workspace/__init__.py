"""A local stand-in for the annotation platform: its API over a folder of media, and a page.

`create_workspace(settings)` builds the server, `run(settings)` serves it.
"""

from sam2_serving.workspace.server import create_workspace, run
from sam2_serving.workspace.settings import WorkspaceSettings

__all__ = ["WorkspaceSettings", "create_workspace", "run"]
