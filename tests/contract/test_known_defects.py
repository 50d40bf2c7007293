# ruff: noqa: E501 (a table has no line breaks)
"""Which test holds each known defect of other servers and of the SDK's bases away.

The numbers are those of the platform's contract, sections 7.1 (a reference app) and 7.2 (the SDK).

| Defect | Test |
|---|---|
| 7.1-1 no CPU | test_deploying.py::test_serve_options |
| 7.1-2 autocast never left | test_determinism.py::test_same_bytes_after_redeploy |
| 7.1-3 features of another image | test_sources.py::test_equal_numbers_of_different_kinds_do_not_collide |
| 7.1-4 window not in the key | test_sources.py::test_window_axis_and_index_are_part_of_the_key |
| 7.1-5 threads swap features | test_determinism.py::test_same_bytes_in_any_order_and_from_many_threads |
| 7.1-6 features of the image before | test_platform_faults.py::test_failure_is_told_in_words |
| 7.1-7 answers depend on history | test_traffic.py::test_undone_click_gives_the_first_answer_again |
| 7.1-8 mask prompt of 2540 | test_sources_parity.py::test_mask_prompts |
| 7.1-9 cache fills the GPU | test_deploying.py::test_redeploy_frees_the_old_engine |
| 7.1-10 mask outside the crop | test_traffic.py::test_mask_without_a_pixel_in_the_crop_is_null |
| 7.1-11 rectangle "None" | test_traffic.py::test_client_gets_what_it_accepts |
| 7.1-20 online without a model | test_deploying.py::test_stop_then_everything_says_so |
| 7.1-21 error hides the error | test_sources.py::test_what_is_not_there_is_a_404 |
| 7.1-22 classes stay for ever | test_inference.py::test_a_class_of_one_request_is_not_in_the_next |
| 7.1-27 no bound | test_odd_requests.py::test_body_of_unknown_length_is_limited |
| 7.1-28 files removed while read | test_ways_to_deploy.py::test_file_that_changed_is_fetched_again |
| 7.1-29 lossy step | test_sources.py::test_one_picture_gives_one_mask_from_wherever_it_comes |
| 7.1-32 owner's token | test_start_modes.py::test_owner_of_the_app_does_not_stand_in |
| 7.1-33 tokens in the log | test_permissions.py::test_no_token_in_the_log |
| 7.1-34 files of one name | test_ways_to_deploy.py::test_two_files_of_one_name_never_mix |
| S1 template page | test_serve_page.py::test_page_offers_the_box_switch |
| S3 one second at least | test_inference.py::test_no_floor_of_a_second |
| S4 errors swallowed | test_inference.py::test_one_bad_image_is_named |
| S7 freeze unlocked | test_freezing.py::test_clicks_that_come_during_the_reload_are_answered |
| S8 cuda:0 everywhere | test_ways_to_deploy.py::test_command_line_takes_a_local_file_and_finds_the_device |
| S9 no lock on the model | test_freezing.py::test_clicks_that_are_under_way_when_it_freezes_are_answered |
| S10 routes after `serve` | test_start_modes.py::test_command_line_has_our_routes_and_guard |
| S11 open admin routes | test_deploying.py::test_admin_routes_of_the_sdk_are_closed |
| S12 page's state polluted | test_serve_page.py::test_requests_of_clients_leave_the_page_alone |
| S13 cache hangs | test_platform_faults.py::test_failure_is_told_in_words |
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROWS = re.findall(r"^\| (\S+) [^|]+\| (\S+)::(\S+) \|$", __doc__ or "", re.M)


@pytest.mark.parametrize(("defect", "module", "name"), ROWS)
def test_every_known_defect_has_its_test(defect: str, module: str, name: str) -> None:
    text = (Path(__file__).parent / module).read_text()
    assert f"def {name}(" in text, f"{defect}: {module} has no {name}"


def test_table_is_read() -> None:
    assert len(ROWS) == 30
