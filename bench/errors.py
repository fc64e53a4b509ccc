"""The exceptions the harness raises on purpose, and the exit code each ends a command with.

    BenchError                     base; never raised itself
    ├── UserError        exit 2    something the user can mend: what, where, expected, what to do
    │   ├── ProfileError             a profile that cannot be used (file, line, key)
    │   ├── RunFolderError           a run folder or result file that cannot be read
    │   └── MachineError             something this machine lacks, with the command that mends it
    └── RunError         exit 1    a run that was sound and broke
        ├── DeploymentError          nodes that would not start, become ready, or stop
        └── LoadError                the load process failed

The message is one line that stands alone: what, where, what was got, what was expected, what to do.
"""


class BenchError(Exception):
    """Base of the tree; `exit_code` is what a command that meets it ends with."""

    exit_code = 1


class UserError(BenchError):
    """Something the user can mend."""

    exit_code = 2


class ProfileError(UserError):
    """A profile that cannot be used."""


class RunFolderError(UserError):
    """A run folder, or a file in one, that cannot be read."""


class MachineError(UserError):
    """Something this machine lacks or has badly set; the message holds the mending command."""


class RunError(BenchError):
    """A run that was sound in itself and broke."""


class DeploymentError(RunError):
    """Nodes that would not start, become ready, or stop."""


class LoadError(RunError):
    """The load process failed or said something it never should."""
