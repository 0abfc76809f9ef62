"""sonho prepare"""

from __future__ import annotations

from typing import Any

import click

from sonho.cli.options import flag_settings, setting_flags, split_arguments
