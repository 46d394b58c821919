"""The steps of Learn in their order."""

from rambo.ui.learn import (
    beat,
    bilevel,
    filters,
    interpolation,
    ranknet,
    rounds,
    transport,
    which,
)
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
        "which",
        "Which set teaches more?",
        "Two sets of the same size. Which one trains the better classifier? Guess; both were really trained, twice.",
        "Even training the same two sets again changes the answer now and then, so nobody can be right always, and "
        "u_hat is not far from a coin.",
        "Section 4.1c; Algorithm 1, line 3",
        "rambo/training/offline.py: warm_start",
        ("xi", "u", "u_hat", "f"),
        which.show,
    ),
    Step(
        "ranknet",
        "RankNet",
        "u_hat gives each set a score; only the difference counts. Move the gap and see how sure it is, what it pays, "
        "and which way it learns.",
        "Moving the true utilities changes nothing until their order turns; a wrong order costs the more the surer "
        "u_hat was.",
        "Definition 2",
        "rambo/method/losses.py: ranking_loss",
        ("u_hat", "u", "s_1", "u_1", "P_12", "L_Rank"),
        ranknet.show,
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
        ("S", "OT", "S_val", "L_OT", "lambda_OT"),
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
    Step(
        "interpolation",
        "Interpolated utilities",
        "Training f for every set is dear. Equation 4 guesses instead: a set near S_i gets nearly its accuracy, a set "
        "near S_i+1 that of S_i+1.",
        "Every guess lies between the two accuracies, whatever the size of the set, while true utilities of small sets "
        "lie far below: the line does not know how many images a set has.",
        "Definition 5, Equation 4; Algorithm 3",
        "rambo/method/utility_samples.py: interpolate_utilities",
        ("alpha", "d_i", "acc_i", "phi", "xi"),
        interpolation.show,
    ),
    Step(
        "filter",
        "From margin to u_hat",
        "M decides who chooses. With M = b the margin takes the images f is least sure of; with the whole pool u_hat "
        "alone decides. Move M and see the 200 chosen images change.",
        "The margins grow at once when M grows; the accuracy goes up and down within four points and does not follow "
        "it, which says how little of the choice matters here beside the noise of training.",
        "Algorithm 2",
        "rambo/algorithm.py: greedy_margin, spend",
        ("M", "b", "B", "margin", "u_hat"),
        filters.show,
    ),
    Step(
        "rounds",
        "One round against many",
        "RAMBO asks once for all B labels. Others ask for a few, learn, and ask again. What does asking once cost?",
        "Margin trusts the first weak f with the whole budget and falls behind random images; in a few rounds the "
        "same budget is well spent.",
        "Sections 1 and 3",
        "rambo/method/acquisition.py: margins, entropies, spread_gradients",
        ("B", "f", "margin"),
        rounds.show,
    ),
)
