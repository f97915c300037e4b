"""Define the command that launches two processes on a CPU."""

# ecosystem.md, wall 4: `--cpu --num_processes 2` would silently run one process
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
