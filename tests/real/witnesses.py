"""What the project promises, and who shows quickly that it is kept: a real test each, which `make test` runs.

The others of this tier are run by `make test-real`, and what is marked as slow by `make test-slow`.
"""

WITNESSES = {
    "The same inputs give the same bytes, whatever the machine is like.": (
        "test_determinism.py::test_small_data_gives_the_same_dvc_lock_in_processes_of_their_own"
    ),
    "A past model can be made again, and what hinders it is named.": (
        "test_rebuild.py::test_every_input_that_was_tampered_with_is_named_in_its_order"
    ),
    "Every experiment is a run of its own, and none is lost.": (
        "test_tracking.py::test_an_experiment_that_changes_only_the_evaluation_has_a_run_of_its_own"
    ),
    "Nothing is half-done: a stage that is stopped says so, and ends its run.": (
        "test_faults.py::test_a_stage_that_is_told_to_stop_ends_its_run_as_failed"
    ),
    "A killed command is ended by the same command.": (
        "test_kills.py::test_a_promotion_that_was_killed_is_ended_by_the_same_command"
    ),
    "A team's server is a registry like one's own database.": (
        "test_promote_at_a_server.py::test_every_reader_answers_from_a_server"
    ),
    "A served model gives the numbers of its folder.": (
        "test_serving.py::test_it_answers_raw_customers_with_the_numbers_of_the_folder"
    ),
    "Only what the gate lets through is deployed.": (
        "test_workflows.py::test_what_was_promoted_is_let_through_and_told[with the receipts alone]"
    ),
    "No fault of a remote is silent.": (
        "test_remote_faults.py::test_no_fault_is_silent[a PUT is acknowledged, and not stored]"
    ),
    "Nobody's own customers are written over.": "test_telco.py::test_other_customers_are_never_written_over",
    "Every command of make is told by make.": "test_pages.py::test_make_help_lists_every_target",
}
