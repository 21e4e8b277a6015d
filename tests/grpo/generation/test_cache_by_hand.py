"""The cache of a batch alone: what each newest token attends to is what plain attention over its whole text attends to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from grpo.generation.batch import cut_prompts, has_window, packs, wants_static_shapes  # noqa: E402
from grpo.generation.kv_cache import STATIC_ROOM, KVCache, Piece, arrange  # noqa: E402
from grpo.generation.shared_prefixes import are_worth_it, count_common, find_stems  # noqa: E402

HEADS, SHARED, SIZE, WIDE, SCALING = 2, 3, 8, 6, 0.3


class Texts:
    """A batch of made-up states: of each prompt, and of each completion that continues it, queries, keys and values."""

    def __init__(self, prompts, stems, samples, *, window=None, layers=2, **options):
        self.generator = torch.Generator().manual_seed(0)
        self.prompts, self.window, self.layers = prompts, window, layers
        self.pieces = cut_prompts([list(ids) for ids in prompts], stems)
        tails = [piece for piece in self.pieces if piece.prompt is not None]
        self.width = max(piece.length for piece in tails)
        self.cache = KVCache(self.width, tails, torch.device("cpu"), **options)
        # What a token's states are follows from the layer and the tokens so far, as in a model.
        self.known: dict = {}
        counts = samples if isinstance(samples, list) else [samples] * len(prompts)
        self.rows = [(prompt, sample) for prompt, count in enumerate(counts) for sample in range(count)]
        self.read()
        groups = [[row for row in range(len(self.rows)) if self.rows[row][0] == p] for p in range(len(prompts))]
        chunk_prompts, picked = arrange(groups, self.width + 20, self.width)
        self.cache.start(chunk_prompts, len(picked[0]))
        self.at = [row for chunk in picked for row in chunk]
        self.written = {row: [] for row in range(len(self.rows))}

    def states(self, layer, text):
        """Query (heads * shared, size), key (heads, size) and value (heads, wide) of the last token of a text."""
        if (layer, text) not in self.known:
            shapes = (HEADS * SHARED, SIZE), (HEADS, SIZE), (HEADS, WIDE)
            self.known[layer, text] = [torch.randn(shape, generator=self.generator) for shape in shapes]
        return self.known[layer, text]

    def expected(self, layer, text):
        """What plain attention of the last token of a text to all of it finds, (heads * shared, wide)."""
        start = max(0, len(text) - self.window) if self.window else 0
        seen = [self.states(layer, text[: end + 1]) for end in range(start, len(text))]
        query = self.states(layer, text)[0]
        keys, values = (torch.stack([each[kind] for each in seen], 1).repeat_interleave(SHARED, 0) for kind in (1, 2))
        return torch.einsum("ht,htd->hd", (torch.einsum("hd,htd->ht", query, keys) * SCALING).softmax(-1), values)

    def check(self, layer, texts, found):
        for place, text in enumerate(texts):
            torch.testing.assert_close(found[place], self.expected(layer, text), atol=1e-5, rtol=1e-5)

    def read(self):
        """All prompts in two forwards, stems first: each token attends to what stands before it."""
        for pieces in ([p for p in self.pieces if p.prompt is None], [p for p in self.pieces if p.prompt is not None]):
            if not pieces:
                continue
            texts = []
            for piece in pieces:
                before = (
                    next(tuple(s.ids) for s in self.pieces if s.prompt is None and s.stem == piece.stem)
                    if piece.start
                    else ()
                )
                texts += [(*before, *piece.ids[: end + 1]) for end in range(piece.length)]
            self.cache.reading = pieces
            for layer in range(self.layers):
                query, key, value = (
                    torch.stack(each, 1)[None] for each in zip(*(self.states(layer, t) for t in texts), strict=True)
                )
                found = self.cache.attend(layer, query, key, value, SCALING, 0.0, self.window)
                self.check(layer, texts, found[0].transpose(0, 1))

    def step(self, *, checks=True):
        """One token more for each row of the batch."""
        self.cache.advance()
        texts = []
        for slot, row in enumerate(self.at):
            if row is None:
                texts.append((90, slot, len(texts)))
                continue
            self.written[row].append(100 * row + len(self.written[row]))
            prompt, _ = self.rows[row]
            texts.append((*self.prompts[prompt], *self.written[row]))
        for layer in range(self.layers):
            query, key, value = (
                torch.stack(each)[:, :, None] for each in zip(*(self.states(layer, t) for t in texts), strict=True)
            )
            found = self.cache.attend(layer, query, key, value, SCALING, 0.0, self.window)
            assert found.shape == (len(self.at), HEADS * SHARED, 1, WIDE)
            used = [slot for slot, row in enumerate(self.at) if row is not None and checks]
            self.check(layer, [texts[slot] for slot in used], found[used, :, 0])

    def leave(self, done):
        """Rows that have ended leave, where that pays; whether they did."""
        move = self.cache.compacted([row is None or row in done for row in self.at], self.width + 20)
        if move is None:
            return False
        picks, fillers = (each.tolist() for each in move)
        self.at = [None if filler else self.at[pick] for pick, filler in zip(picks, fillers, strict=True)]
        assert sorted(row for row in self.at if row is not None) == sorted(set(self.written) - set(done))
        return True


PLAIN = ([(1, 2, 3, 4, 5), (6, 7), (8,)], [(0, 1), (0, 1), (0, 1)])
EVEN = ([(1, 2, 3), (4, 5, 6)], [(0, 1), (0, 1)])
# Two prompts that begin alike, one alone, three that begin alike with a longer stem.
STEMS = (
    [(1, 2, 3, 9), (1, 2, 3, 8, 7), (50, 51), (11, 12, 13, 14, 1), (11, 12, 13, 14, 2, 3), (11, 12, 13, 14, 4)],
    [(3, 2), (0, 1), (4, 3)],
)


@pytest.mark.parametrize("prompts", [PLAIN, EVEN, STEMS], ids=["plain", "even", "stems"])
@pytest.mark.parametrize("static", [False, True])
def test_attention_when_rows_share_prompts_and_stems_then_it_is_that_of_each_whole_text(prompts, static):
    """Tails of unlike length, several completions a prompt, rows that leave twice, arrays that grow."""
    texts = Texts(*prompts, samples=3, static=static)
    for _ in range(2):
        texts.step()
    count = len(texts.rows)
    done = [row for row in range(count) if row % 3 != 1 and row != 2]
    assert texts.leave(done)
    for step in range(31):
        texts.step(checks=step > 28)  # across the end of the first 32 places
    assert texts.leave([row for row in range(count) if row != 1])
    texts.step()
    assert texts.cache.version >= 3 if not static else texts.cache.version == 3


def test_attention_when_prompts_have_unlike_numbers_of_completions_then_a_prompt_is_read_by_several_chunks():
    """One of five, two of one: chunks of one slot, five of which continue the first prompt."""
    texts = Texts(*PLAIN, samples=[5, 1, 1])
    assert (texts.cache.chunks, texts.cache.slots) == (7, 1)
    texts.step()
    texts = Texts(*STEMS, samples=[1, 3, 1, 1, 1, 1])
    texts.step()
    assert texts.leave([1, 2, 5]) and texts.cache.stem_runs() == [(0, 2, 0), (3, 5, 1)]
    texts.step()


@pytest.mark.parametrize("window", [1, 2, 4, 7, 30])
def test_attention_when_a_layer_has_a_window_then_only_the_last_tokens_are_seen(window):
    """Shorter than a tail, than what was written, than both."""
    texts = Texts(*PLAIN, samples=2, window=window)
    for _ in range(9):
        texts.step()
    if texts.leave([0, 2, 3, 5]):
        texts.step()
    assert not any(row in (0, 2, 3, 5) for row in texts.at)


def test_shares_when_they_are_asked_for_then_are_the_weights_that_newest_tokens_give_themselves():
    """By chunk, slot, head of keys and query that shares it, of every layer."""
    texts, noted = Texts(*STEMS, samples=2), {}
    texts.cache.note_shares = lambda layer, shares: noted.setdefault(layer, shares)
    texts.step()
    assert set(noted) == {0, 1}
    for layer, shares in noted.items():
        assert shares.shape == (texts.cache.chunks, texts.cache.slots, HEADS, SHARED)
        for slot, row in enumerate(texts.at):
            if row is None:
                continue
            text = (*texts.prompts[texts.rows[row][0]], *texts.written[row])
            seen = torch.stack(
                [texts.states(layer, text[: end + 1])[1] for end in range(len(text))], 1
            ).repeat_interleave(SHARED, 0)
            weights = (torch.einsum("hd,htd->ht", texts.states(layer, text)[0], seen) * SCALING).softmax(-1)[:, -1]
            torch.testing.assert_close(shares.flatten(0, 1)[slot].flatten(), weights, atol=1e-5, rtol=1e-5)


def test_cache_when_a_window_meets_a_stem_then_it_refuses():
    """How much of a stem is left would differ from row to row."""
    with pytest.raises(RuntimeError, match="a layer with a window cannot read stems"):
        Texts(*STEMS, samples=1, window=3)


def test_rows_when_few_have_left_then_the_batch_stays_as_it_is():
    """A quarter must be gone; half of static arrays, whose new version costs two steps."""
    for static, leaves in ((False, [False, False, True, True]), (True, [False, False, False, True])):
        for count, leaves_now in zip((1, 2, 4, 8), leaves, strict=True):
            texts = Texts([(1, 2)], [(0, 1)], samples=12, static=static, layers=1)
            texts.step(checks=False)
            assert texts.leave(list(range(count))) is leaves_now, (static, count)


def test_room_when_a_batch_grows_then_it_is_doubled_and_what_is_not_written_is_masked():
    """32 places at first, then twice as many; static arrays begin large and say what is unwritten."""
    texts = Texts(*EVEN, samples=1)
    for step in range(70):
        texts.cache.advance()
        assert (texts.cache.written, texts.cache.room) == (step + 1, 32 if step < 32 else 64 if step < 64 else 128)
    static = Texts(*EVEN, samples=1, static=True).cache
    static.advance()
    assert (static.room, static.version, int(static.place)) == (STATIC_ROOM, 1, 0)
    static.advance()
    assert (static.version, int(static.place)) == (1, 1)
    assert static.unwritten[:2].tolist() == [0, 0] and (static.unwritten[2:] == -torch.inf).all()
    assert all(layer.keys.shape[-1] == STATIC_ROOM and not layer.keys.any() for layer in static.layers.values())


# -- how prompts are cut and laid out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "row_cost", "prompt_cost", "sources", "chunks"),
    [
        ([[0, 1, 2, 3]], 10, 5, [0], [[0, 1, 2, 3]]),
        (
            [[0, 1, 2], [3]],
            10,
            1,
            [0, 0, 0, 1],
            [[0], [1], [2], [3]],
        ),  # a slot that is filled up costs more than a prompt
        ([[0, 1, 2], [3]], 1, 10, [0, 1], [[0, 1, 2], [3, None, None]]),
        ([[0, 1], [], [2, 3]], 1, 10, [0, 2], [[0, 1], [2, 3]]),
        ([[0, 1]], 0, 0, [0], [[0, 1]]),  # of equal costs the largest
    ],
)
def test_rows_when_arranged_then_the_size_of_a_chunk_follows_from_both_costs(
    groups, row_cost, prompt_cost, sources, chunks
):
    """Each chunk pays for its prompt and for all of its slots."""
    assert arrange(groups, row_cost, prompt_cost) == (sources, chunks)


def test_runs_when_chunks_share_stems_then_neighbours_are_one_and_gaps_are_said():
    """Chunks: two of stem 0, one of none, one of stem 1, one of stem 0 again, two of none."""
    cache = KVCache(1, [Piece([1], 0, None, 0)], torch.device("cpu"))
    cache.stems_of_chunks = [0, 0, None, 1, 0, None, None]
    assert cache.stem_runs() == [(0, 2, 0), (3, 4, 1), (4, 5, 0)]
    assert cache.runs() == [(0, 2, 0), (2, 3, None), (3, 4, 1), (4, 5, 0), (5, 7, None)]
    cache.stems_of_chunks = [0, None, 0]
    assert cache.stem_runs() == [(0, 1, 0), (2, 3, 0)]
    cache.stems_of_chunks = [None, 2]
    assert cache.runs() == [(0, 1, None), (1, 2, 2)]
    cache.stems_of_chunks = []
    assert cache.runs() == cache.stem_runs() == []


def test_prompts_when_they_begin_alike_then_what_they_share_is_one_stem():
    """At least 16 tokens, less where asked; half of what the run shares; one token of each is left."""
    stem = list(range(100, 120))
    assert find_stems([[*stem, 1], [5], [*stem, 2]]) == [(0, [1]), (20, [0, 2])]
    assert find_stems([[*stem[:16], 1], [*stem[:16], 2]]) == [(16, [0, 1])]
    assert find_stems([[*stem[:15], 1], [*stem[:15], 2]]) == [(0, [0]), (0, [1])]
    assert find_stems([[1, 2, 3], [1, 2, 4]], least=2) == [(2, [0, 1])]
    assert find_stems([stem, stem]) == [(19, [0, 1])]
    assert find_stems([stem, [*stem, 7]]) == [(19, [0, 1])]
    # Of a run that shares eight the fourth is still one that shares four; one that shares three is not.
    run = [[1] * 8 + [2], [1] * 8 + [3]]
    assert find_stems([*run, [1] * 4 + [9]], least=2) == [(4, [0, 1, 2])]
    assert find_stems([*run, [1] * 3 + [9]], least=2) == [(8, [0, 1]), (0, [2])]
    # The second and the third share eight, but the run no more than its first does.
    assert find_stems([[1] * 4 + [2], [1] * 4 + [3] * 5, [1] * 4 + [3] * 4 + [4]], least=2) == [(4, [0, 1, 2])]
    assert (count_common([1, 2, 3], [1, 2]), count_common([], [1]), count_common([2], [1])) == (2, 0, 0)


@pytest.mark.parametrize(("tokens", "worth"), [(160, True), (161, False)])
def test_sharing_when_it_saves_an_eighth_then_it_is_worth_a_second_pass(tokens, worth):
    """Two further prompts do not read the ten tokens again; one that is alone saves nothing."""
    assert are_worth_it([(10, [0, 1, 2]), (0, [3])], tokens) is worth
    assert not are_worth_it([(10, [0])], 1)


def test_prompts_when_cut_then_stems_come_before_their_tails_and_packs_are_as_full_as_they_may_be():
    """Each piece with its place, its stem and its prompt; a piece that is longer than a pack is one alone."""
    pieces = cut_prompts([[1, 2, 3], [1, 2, 4, 5], [6]], [(2, 2), (0, 1)])
    assert pieces == [Piece([1, 2], 0, 0, None), Piece([3], 2, 0, 0), Piece([4, 5], 2, 0, 1), Piece([6], 0, None, 2)]
    assert [piece.length for piece in pieces] == [2, 1, 2, 1]
    assert list(packs([3, 2, 9, 1, 4, 5], 5)) == [range(2), range(2, 3), range(3, 5), range(5, 6)]
    assert list(packs([7], 5)) == [range(1)]


@pytest.mark.parametrize(
    ("config", "has"),
    [
        ({"layer_types": ["full_attention", "sliding_attention"]}, True),
        ({"layer_types": ["full_attention"] * 2, "sliding_window": 8}, False),
        ({"sliding_window": 8}, True),
        ({"layer_types": None, "sliding_window": 8}, True),
        ({"sliding_window": None}, False),
        ({}, False),
    ],
    ids=str,
)
def test_window_when_any_layer_has_one_then_the_model_has(config, has):
    """By its layers where it names them, else by its one window; then nothing is static, on no device."""
    found = SimpleNamespace(**config)
    assert has_window(found) is has
    for device, static in (("cpu", False), ("cuda", not has)):
        weight = SimpleNamespace(weight=SimpleNamespace(device=SimpleNamespace(type=device)))
        assert wants_static_shapes(SimpleNamespace(config=found, get_input_embeddings=lambda w=weight: w)) is static
