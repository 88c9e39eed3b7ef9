"""What a person is told when something cannot be done."""


class UserError(ValueError):
    """What was given or asked for cannot be used; the message says why, in one sentence.

    Most files have a kind of their own, for whoever acts on it. Command lines print the sentence
    and end with 2.
    """
