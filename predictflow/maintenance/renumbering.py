"""Which numbers the versions of a restored registry have."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count


@dataclass(frozen=True)
class Renumbering:
    """The numbers of versions: those of the receipts, else the one that they have, else the lowest free.

    The registry has b as 1 and a as 2, the receipts say that a is 1, and c is to be registered:
        a goes from 2 to 1: a receipt's number comes first;
        b goes from 1 to 2: it stood in the way, and 2 is the lowest that is free now;
        c gets 3: it is in nobody's way, and new.

    Attributes:
        taken: every number of the registry, also those of deleted versions.
        held: {number: content} of the versions that are there.
        receipted: {content: its number in the receipts}.
        order: the contents of all versions that there shall be, in the order in which they are numbered.
    """

    taken: Collection[int]
    held: dict[int, str | None]
    receipted: dict[str, int]
    order: list[str]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """{content: number} of all versions that there shall be."""
        numbers, free = dict(self.receipted), self._free(())
        for content in self.order:
            if content not in numbers:
                old = self._oldest.get(content)
                numbers[content] = next(free) if old is None or old in self._in_the_way else old
        return numbers

    @cached_property
    def changes(self) -> dict[int, int]:
        """{old number: new one} of the rows that are there and change theirs."""
        numbers = self.numbers
        moves = {old: numbers[content] for content, old in self._oldest.items() if content in numbers}
        free = self._free(numbers.values())
        # What is in the way still is a second one of its content, or a deleted one.
        moves |= {old: next(free) for old in sorted(self._in_the_way - moves.keys())}
        return {old: new for old, new in moves.items() if old != new}

    @cached_property
    def _oldest(self) -> dict[str, int]:
        """{content: the lowest number that it has}; a version without a content is nobody's."""
        numbers = sorted(self.held.items(), reverse=True)
        return {content: number for number, content in numbers if content is not None}

    @cached_property
    def _leaving(self) -> set[int]:
        """Of those whose receipts name a number, this one or another."""
        return {self._oldest[content] for content in self.receipted if content in self._oldest}

    @cached_property
    def _in_the_way(self) -> set[int]:
        """What the receipts give to another than who has it."""
        return set(self.taken) & set(self.receipted.values()) - self._leaving

    def _free(self, given: Iterable[int]) -> Iterator[int]:
        """The numbers that nobody keeps or gets, the lowest first."""
        staying = set(self.taken) - self._leaving - self._in_the_way
        used = staying | set(self.receipted.values()) | set(given)
        return (number for number in count(1) if number not in used)
