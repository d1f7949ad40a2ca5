"""The benchmark command: it prints both sides of each size, and advises threads where they pay."""

from lstm_ae import benchmark


def test_it_prints_a_row_a_size_and_what_to_set(capsys):
    benchmark.main(["--sizes", "1,3,5", "2,4,6", "--threads", "1", "--seconds", "0.01", "--batch", "8"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["1,3,5", "2,4,6"]
    assert lines[-1] == "trainer.threads=1 is the default."


def test_more_threads_are_advised_where_they_pay_and_not_elsewhere():
    slow = {("1,8,50", 1): 1.0, ("1,8,50", 2): 1.0}
    assert "leave trainer.threads at 1" in benchmark.advice(slow, [1, 2])
    fast = slow | {("1,64,784", 1): 1.0, ("1,64,784", 2): 0.6}
    assert "as fast as 1 at 1,64,784: there trainer.threads=2 pays" in benchmark.advice(fast, [1, 2])
