"""The one error that is the user's to solve."""


class UserError(ValueError):
    """Something given by the user cannot work; the message is one line: what, the rule, the value, the way out.

    The command line prints the message alone and exits with code 2; every other exception is a defect of ours.
    """
