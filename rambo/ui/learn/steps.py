"""The steps of Learn in their order."""

from rambo.ui.learn import beat, bilevel, transport
from rambo.ui.learn.parts import Step

STEPS = (
    Step(
        "beat",
        "Beat the machine",
        "You have 40 labeled images and may buy 20 more labels. Choose the 20, press Train, and see whether the "
        "strategies chose better with the same budget.",
        "One set of 20 is seldom much better than another: look how wide the cloud of random choices is, and play "
        "several boards before you call anybody a winner.",
        "Section 3, Equation 1",
        "rambo/training/heads.py: fit_heads",
        ("S_0", "U_0", "B", "f", "u"),
        beat.show,
        ("pick",),
    ),
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
    Step(
        "bilevel",
        "Bilevel",
        "Fit the weights on short sets, judge them on long ones. lambda pulls the weights to zero: too little and they "
        "learn noise, too much and they learn nothing. Let the hypergradient find the place between.",
        "The loss on short pairs always grows with lambda; only the long pairs, which the weights never saw, show "
        "where to stop.",
        "Section 4.2.1",
        "rambo/method/bilevel.py: unrolled_hypergradient, neumann_hypergradient",
        ("lambda", "u_hat"),
        bilevel.show,
    ),
)
