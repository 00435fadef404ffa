from lra.report.tables import short
from tests.lra.report.tables.test_papers import scored


def test_models_that_have_all_tasks_stand_in_it_best_first(tmp_path):
    chosen = [
        scored(model, task, 300 + 10 * i)
        for i, model in enumerate(("fnet", "transformer", "performer"))
        for task in ("listops", "image")
    ]
    chosen += [scored("luna", "image", 900), scored("transformer", "text", 600)]
    text = short.table(chosen, [])
    assert text.splitlines()[0] == "| model | ListOps % | Image % | mean % |"
    assert text.splitlines()[2].startswith("| performer | 32.0 (29.2-35.0) | 32.0")
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == [
        "| performer",
        "| transformer",
        "| fnet",
        r"| \[majority label\]",
    ]


def test_it_is_put_between_the_marks(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# a\n{short.START}old\n{short.END}rest\n")
    assert short.put("new\n", readme)
    assert short.put("new\n", readme)
    assert readme.read_text() == f"# a\n{short.START}\nnew\n\n{short.END}rest\n"
    readme.write_text("none")
    assert not short.put("new\n", readme)
    assert readme.read_text() == "none"
