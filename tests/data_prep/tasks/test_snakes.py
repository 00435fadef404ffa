"""Compares our pictures with the official generator's samples, if LRA_ARCHIVES has them.

The distribution checks are Kolmogorov-Smirnov over images for a statistic of one image, a
permutation test for the mean image, and Fisher's test for the labels. All are Holm-corrected at
0.01, on fixed seeds. A level has 400 to 15 of their images, and OURS below of ours.
"""

import io
import re

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from data_prep import archive, probe
from data_prep.tasks import snakes
from data_prep.tasks.pathfinder import parse_metadata

OURS = {32: 800, 64: 200, 128: 150, 256: 60}  # images of each level
LEVELS = [(side, length) for side in OURS for length in snakes.LEVELS]


def rng(*seed):
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def ours(side, length, n, seed=0):
    pixels, labels = snakes.images(side, length, n, rng(seed, side, length))
    return pixels.reshape(n, side, side), labels


@pytest.fixture(scope="module")
def official(archives):
    """Returns (side, contour length) -> (images, labels)."""
    wanted = re.compile(r"pathfinder(\d+)/(curv_\w+)/(?:imgs/0/sample_(\d+)\.png|metadata/0\.npy)$")
    length_of = {name: length for length, name in snakes.LEVELS.items()}
    images, labels = {}, {}
    for name, stream in archive.members(archives / "pathfinder", wanted):
        side, level, number = wanted.search(name).groups()
        key = int(side), length_of[level]
        if number is None:
            labels[key] = parse_metadata(name, stream.read(), 0, key[1])
        else:
            picture = np.asarray(Image.open(io.BytesIO(stream.read())))
            images.setdefault(key, {})[0, int(number)] = picture
    return {
        key: (
            np.stack([found[i] for i in sorted(found)]),
            np.array([labels[key][i] for i in sorted(found)]),
        )
        for key, found in images.items()
    }


def marker_places(image):
    """Returns the centres of the two discs, where the picture agrees best with a disc."""
    disc = np.clip(snakes.disc(snakes.RULES[len(image)].marker_radius), 0, 1)
    match = ndimage.correlate(image / 255, disc - disc.mean(), mode="constant")
    first = np.unravel_index(match.argmax(), match.shape)
    y, x = np.ogrid[: len(image), : len(image)]
    radius = snakes.RULES[len(image)].marker_radius
    match[(y - first[0]) ** 2 + (x - first[1]) ** 2 <= (2 * radius) ** 2] = -np.inf
    return first, np.unravel_index(match.argmax(), match.shape)


def marker_distance(image):
    (y0, x0), (y1, x1) = marker_places(image)
    return float(np.hypot(y0 - y1, x0 - x1))


STATISTICS = {
    "ink": lambda image: image.mean(),
    "share above 0": lambda image: (image > 0).mean(),
    "share above 64": lambda image: (image > 64).mean(),
    "share above 128": lambda image: (image > 128).mean(),
    "share above 192": lambda image: (image > 192).mean(),
    "components above 64": lambda image: ndimage.label(image > 64, np.ones((3, 3)))[1],
    "marker distance": marker_distance,
}


def mean_image_p(one, two, permutations=20_000):
    """Returns p of a permutation test of the squared distance between two mean images of 16 x 16
    patches.

    Holm's first threshold, 0.01 / 108, decides the number of permutations; the test stops earlier
    if p is far above the threshold.
    """
    both = np.concatenate([one, two]).astype(float)
    n, side = both.shape[:2]
    both = both.reshape(n, 16, side // 16, 16, side // 16).mean((2, 4)).reshape(n, -1)
    total, draw = both.sum(0), rng(1)

    def distances(member):  # (permutations, n): 1 for a member of the first group
        first = member @ both
        return ((first / len(one) - (total - first) / len(two)) ** 2).sum(1)

    member = np.repeat([1.0, 0.0], [len(one), len(two)])[None]
    found, more, done = distances(member)[0], 0, 0
    while done < permutations and more < 20:
        shuffled = draw.permuted(np.repeat(member, 200, axis=0), axis=1)
        more += int((distances(shuffled) >= found - 1e-9).sum())
        done += 200
    return (more + 1) / (done + 1)


def holm(p_values, level=0.01):
    """Returns the names, with p, that a Holm-corrected test rejects."""
    rejected = []
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - rank):
            break
        rejected.append((name, p))
    return rejected


def test_the_pictures_have_the_official_distribution(official):
    p_values = {}
    for side, length in LEVELS:
        theirs, their_labels = official[side, length]
        mine, my_labels = ours(side, length, OURS[side])
        for name, statistic in STATISTICS.items():
            values = [[statistic(image) for image in images] for images in (mine, theirs)]
            p_values[side, length, name] = stats.ks_2samp(*values).pvalue
        p_values[side, length, "mean image"] = mean_image_p(mine, theirs)
        table = [np.bincount(labels, minlength=2) for labels in (my_labels, their_labels)]
        p_values[side, length, "labels"] = stats.fisher_exact(table).pvalue
    assert holm(p_values) == []


def test_those_tests_would_notice_other_pictures(official):
    """Draws two distracting contours, of four paddles each, instead of five."""
    theirs, _ = official[32, 14]
    rules = snakes.RULES[32]
    try:
        snakes.RULES[32] = rules._replace(distractor_paddles=8)
        mine, _ = ours(32, 14, 1000)
    finally:
        snakes.RULES[32] = rules
    values = [[image.mean() for image in images] for images in (mine, theirs)]
    assert stats.ks_2samp(*values).pvalue < 1e-4


def test_trivial_statistics_do_not_give_the_label_away():
    """Fits logistic regression on 2,000 images and scores it on 2,000.

    Ink is at chance. The distance of the discs is not quite at chance, by the official rules: the
    other contour's head is seed_distance further off at random, so that its distances spread a
    little more (52.9 % of 4,000).
    """
    images, labels = ours(32, 14, 4000)
    ink = np.array([[image.mean(), image.mean() ** 2] for image in images])
    distance = np.array([[d, d * d] for d in map(marker_distance, images)])

    def correct(features):
        features = StandardScaler().fit_transform(features)
        rule = LogisticRegression().fit(features[:2000], labels[:2000])
        return int((rule.predict(features[2000:]) == labels[2000:]).sum())

    assert stats.binomtest(correct(ink), 2000, 0.5).pvalue > 0.01
    assert correct(np.column_stack([ink, distance])) < 0.56 * 2000


def test_labels_are_a_fair_coin_and_the_discs_say_what_they_mean():
    images, labels = ours(32, 6, 2000)
    assert stats.binomtest(int(labels.sum()), 2000, 0.5).pvalue > 0.01
    assert images.dtype == np.uint8
    assert images.min() == 0
    assert (images.max((1, 2)) == 255).all()
    distances = [marker_distance(image) for image in images]
    assert min(distances) > 2


@pytest.mark.parametrize("side, length", LEVELS)
def test_the_same_stream_gives_the_same_pictures(side, length):
    one, two = (ours(side, length, 2, seed=5) for _ in range(2))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], ours(side, length, 2, seed=6)[0])


def split_of(images, labels):
    from data_prep.pack import Split

    offsets = np.arange(len(labels) + 1) * images[0].size
    return Split(images.reshape(-1), offsets, labels)


@pytest.mark.slow
def test_a_network_learns_ours_and_scores_the_same_on_theirs(official):
    """Trains on 20,000 images of our curv_baseline; Fisher's test compares 2,000 of ours with their
    100."""
    images, labels = ours(32, 6, 20_000)
    theirs, their_labels = official[32, 6]
    more, more_labels = ours(32, 6, 2000, seed=1)
    val = split_of(np.concatenate([more, theirs]), np.concatenate([more_labels, their_labels]))
    correct = probe.convolutional(split_of(images, labels), val, [1, 1], steps=2500)[1]
    mine, official_ones = correct[:2000], correct[2000:]
    print(f"accuracy on ours {mine.mean():.3f}, on theirs {official_ones.mean():.3f}")
    assert stats.binomtest(int(mine.sum()), 2000, 0.5).proportion_ci(0.99).low > 0.6
    table = [[part.sum(), (~part).sum()] for part in (mine, official_ones)]
    assert stats.fisher_exact(table).pvalue >= 0.01


@pytest.mark.slow
def test_a_network_cannot_tell_ours_from_theirs(official):
    """Classifies 400 images of each, at 32 pixels and the hard level, in 5 folds; the area under
    the curve is at most 0.60."""
    import torch
    import torch.nn.functional as F

    theirs, _ = official[32, 14]
    mine, _ = ours(32, 14, len(theirs))
    x = torch.from_numpy(np.concatenate([mine, theirs])[:, None]).float() / 127.5 - 1
    y = torch.arange(len(x)) >= len(mine)
    fold = torch.from_numpy(rng(2).permutation(len(x)) % 5)
    scores = torch.zeros(len(x))
    for k in range(5):
        torch.manual_seed(k)
        net = probe.network(32, 2)
        optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.05)
        train = torch.nonzero(fold != k)[:, 0]
        for _ in range(200):
            batch = train[torch.randint(len(train), (64,))]
            loss = F.cross_entropy(net(x[batch]), y[batch].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            scores[fold == k] = net(x[fold == k]).softmax(1)[:, 1]
    area = roc_auc_score(y.numpy(), scores.numpy())
    print(f"area under the curve {area:.3f}")
    assert area <= 0.60
