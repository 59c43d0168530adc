"""The inbox: which jobs go into one commit."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.commit.jobs import BATCH_OCTETS, Call, Inbox, Rows, Upkeep

KIB = 1024


class InboxTests(SynchronousTestCase):
    """Jobs wait in the inbox, and writers take batches."""

    def setUp(self) -> None:
        self.slept: list[float] = []
        # Messages that arrive while the writer waits, one batch for each wait.
        self.arriving: list[int] = []
        self.inbox = Inbox(self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for _ in range(self.arriving.pop(0) if self.arriving else 0):
            self.message()

    def piece(self, octets: int = 256 * KIB) -> Rows:
        job = Rows("stage", octets)
        self.inbox.put_piece(job)
        return job

    def message(self, octets: int = 4 * KIB) -> Rows:
        job = Rows("accept", octets)
        self.inbox.put(job)
        return job

    def test_all_that_waits_goes_into_one_commit(self) -> None:
        messages = [self.message() for _ in range(50)]
        self.assertEqual(self.inbox.take(True, 0), messages)
        self.assertEqual(self.inbox.take(True, 0), [])

    def test_a_single_writer_does_not_wait_for_others(self) -> None:
        for _ in range(3):
            self.message()
            self.assertEqual(len(self.inbox.take(True, 0) or ()), 1)
        self.assertEqual(self.slept, [])

    def test_where_many_write_the_next_commit_waits_while_more_arrive(self) -> None:
        for _ in range(5):
            self.message()
        self.inbox.take(True, 0)
        self.message()
        self.arriving = [4, 3, 0, 9]
        self.assertEqual(len(self.inbox.take(True, 0) or ()), 8)
        self.assertEqual(len(self.slept), 3)

    def test_no_commit_waits_for_long(self) -> None:
        for _ in range(5):
            self.message()
        self.inbox.take(True, 0)
        self.message()
        self.arriving = [1] * 100
        self.inbox.take(True, 0)
        self.assertLess(sum(self.slept), 0.01)

    def test_a_full_commit_does_not_wait_for_more_jobs(self) -> None:
        for _ in range(100):
            self.message()
        self.inbox.take(True, 0)
        for _ in range(100):
            self.message()
        self.inbox.take(True, 0)
        self.assertEqual(self.slept, [])

    def test_a_commit_has_at_most_a_mebibyte_of_pieces(self) -> None:
        pieces = [self.piece() for _ in range(10)]
        self.assertEqual(self.inbox.take(True, 0), pieces[:4])
        self.assertEqual(self.inbox.take(True, 0), pieces[4:8])
        self.assertEqual(self.inbox.take(True, 0), pieces[8:])

    def test_small_messages_do_not_wait_behind_large_ones(self) -> None:
        for _ in range(400):
            self.piece()
        message = self.message()
        batch = self.inbox.take(True, 0)
        assert batch is not None
        self.assertIn(message, batch)
        self.assertLessEqual(sum(job.octets for job in batch), BATCH_OCTETS)

    def test_large_messages_go_on_beside_many_small_ones(self) -> None:
        first, _second = self.piece(), self.piece()
        for _ in range(1000):
            self.message()
        batch = self.inbox.take(True, 0)
        assert batch is not None
        self.assertIn(first, batch)
        self.assertLessEqual(sum(job.octets for job in batch), BATCH_OCTETS + 256 * KIB)

    def test_a_commit_of_small_messages_takes_little_of_the_large_ones(self) -> None:
        """A small message waited for a mebibyte of pieces before, or behind all the large messages."""
        large = [self.message(200 * KIB) for _ in range(50)]
        pieces = [self.piece() for _ in range(50)]
        small = [self.message(), self.message()]
        self.assertEqual(self.inbox.take(True, 0), [*small, large[0]])
        small = [self.message()]
        self.assertEqual(self.inbox.take(True, 0), [*small, pieces[0]])
        self.assertEqual(self.inbox.take(True, 0), [large[1], pieces[1], large[2], pieces[2]])

    def test_a_call_does_not_make_a_commit_of_large_messages_small(self) -> None:
        """Leases and other calls of the system wait for no client."""
        call = Call("lease", lambda _: None)
        self.inbox.put(call)
        large = [self.message(200 * KIB) for _ in range(10)]
        self.assertEqual(self.inbox.take(True, 0), [call, *large[:5]])

    def test_pieces_are_no_clients_that_send_more(self) -> None:
        """A small message waited after each commit of pieces, for others that might come."""
        for _ in range(4):
            self.piece()
        self.inbox.take(True, 0)
        self.message()
        self.inbox.take(True, 0)
        self.assertEqual(self.slept, [])

    def test_a_job_larger_than_a_commit_is_taken(self) -> None:
        huge = self.message(3 * BATCH_OCTETS)
        self.assertEqual(self.inbox.take(True, 0), [huge])

    def test_only_the_first_writer_takes_pieces(self) -> None:
        piece = self.piece()
        self.assertEqual(self.inbox.take(False, 0), [])
        self.assertEqual(self.inbox.take(True, 0), [piece])

    def test_upkeep_runs_between_commits_in_its_turn(self) -> None:
        before, upkeep, after = self.message(), Upkeep("vacuum", lambda _: None), Call("call", lambda _: None)
        self.inbox.put(upkeep)
        self.inbox.put(after)
        self.assertEqual(self.inbox.take(True, 0), [before])
        self.assertEqual(self.inbox.take(True, 0), [upkeep])
        self.assertEqual(self.inbox.take(True, 0), [after])

    def test_waiting_jobs_are_taken_before_the_end(self) -> None:
        message, piece = self.message(), self.piece()
        self.inbox.close()
        self.assertEqual(self.inbox.take(True, None), [message, piece])
        self.assertIsNone(self.inbox.take(True, None))
