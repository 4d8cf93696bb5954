import json
import socket

import numpy as np
import processes
from conftest import MODULE, Step
from train import cluster


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def test_two_workers_train_the_model_that_one_would(step, tmp_path, examples, graph):
    still = MODULE.replace("hidden = keras.layers.Dropout(0.1)(hidden)", "")  # each worker would drop differently
    step.run(still, epochs=2, batch_size=70)  # 700 rows: batches of equal shares
    members = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers, started = [Step(examples, graph, tmp_path / f"worker{index}") for index in range(2)], []
    try:
        for index, worker in enumerate(workers):
            config = {"cluster": {"worker": members}, "task": {"type": "worker", "index": index}}
            argv = worker.argv(still, epochs=2, batch_size=70)
            started.append(processes.start(argv, {"TF_CONFIG": json.dumps(config)}))
        for process in started:
            process.join(120)
        assert [process.exitcode for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    assert workers[1].written() == []  # only the chief writes
    chief, alone = workers[0].metrics()["best"], step.metrics()["best"]
    np.testing.assert_allclose([chief["val_loss"], chief["val_auc"]], [alone["val_loss"], alone["val_auc"]], rtol=1e-4)
    for ours, theirs in zip(workers[0].weights(), step.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_one_worker_is_no_cluster(monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["h:1"]}, "task": {"type": "worker", "index": 0}})
    )
    assert cluster.join() == cluster.Cluster() and cluster.join().chief
