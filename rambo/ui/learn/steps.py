"""The steps of Learn in their order."""

from rambo.ui.learn import transport
from rambo.ui.learn.parts import Step

STEPS = (
    Step(
        "transport",
        "Optimal transport",
        "How far is a set from the images it will be judged on? Move every image of S to S_val as cheaply as possible: "
        "the total price is the distance. Swap an image and see it change.",
        "The distance falls when S has what S_val has, in the same shares; whether f is sure of the images plays no "
        "part in it.",
        "Definition 3; OTDD ground cost",
        "rambo/method/transport.py: exact_transport, ground_cost",
        ("OT", "S_val", "L_OT", "lambda_OT"),
        transport.show,
        ("s",),
    ),
)
