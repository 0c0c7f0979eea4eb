/** A mistake in the text of a function, and the check that notices it. */
export interface Fault {
  readonly in: string
  readonly from: string
  readonly to: string
  readonly also?: readonly [from: string, to: string]
  /** What begins with the first and what begins with the second change places. */
  readonly swap?: readonly [first: string, second: string, end: string]
  readonly check: string
  /** So do runs of several nodes at once, sooner or later. */
  readonly runs?: true
}

const OWN = 'spaces that differ share their statements, and each has its own'
const POLLS = 'polls that wake at one moment share a statement, and each is answered its own'

/** Mistakes where several spaces share a statement. */
export const TOGETHER_FAULTS: { readonly [name: string]: Fault } = {
  'spaces wait for one that is held': {
    in: 'commit_1',
    from: 'FOR UPDATE SKIP LOCKED',
    to: 'FOR UPDATE',
    check: 'a space that somebody holds keeps no other waiting',
  },
  'a space that has moved is written all the same': {
    in: 'commit_1',
    from: 'LOOP sps[at] := NULL;',
    to: 'LOOP NULL;',
    runs: true,
    check: 'a row that others changed',
  },
  'a space that has moved takes all with it': {
    in: 'commit_1',
    from: 'LOOP sps[at] := NULL;',
    to: 'LOOP sps := array_fill(NULL::int, ARRAY[cardinality(sps)]);',
    check: 'a space that has moved takes no other with it',
  },
  'a mutation that another node has made is put down to another space': {
    in: 'commit_1',
    from: 'SELECT array_agg(m.s) INTO moved',
    to: 'SELECT array_agg(1) INTO moved',
    check: 'a space that has moved takes no other with it',
  },
  'versions count from the head of another space': {
    in: 'commit_1',
    from: 'array_agg(hds[n.s] ORDER BY n.o)',
    to: 'array_agg(hds[1] ORDER BY n.o)',
    check: OWN,
  },
  'a head rises by what another space was written': {
    in: 'commit_1',
    from: 'a.head + a.total',
    to: 'a.head + totals[1]',
    check: OWN,
  },
  'rows go to another space': {
    in: 'commit_1',
    from: 'SELECT tsp[x.t], nos[x.t], thd',
    to: 'SELECT tsp[1], nos[x.t], thd',
    check: OWN,
  },
  'mutations go to another space': {
    in: 'commit_1',
    from: 'SELECT sps[m.s], m.id, m.num',
    to: 'SELECT sps[1], m.id, m.num',
    check: OWN,
  },
  'kept answers count from the head of another space': {
    in: 'commit_1',
    from: 'm.hashes, hds[m.s], m.answer',
    to: 'm.hashes, hds[1], m.answer',
    check: OWN,
  },
  'tables are numbered for all spaces together': {
    in: 'commit_1',
    from: 'WHERE t.space = tsp[n.o])',
    to: 'WHERE t.space = tsp[1])',
    check: OWN,
  },
  'values are let go in another space': {
    in: 'commit_1',
    from: 'c.space = tsp[d.t]',
    to: 'c.space = tsp[1]',
    check: OWN,
  },
  'rows of another space are looked at': {
    in: 'view_1',
    from: 'r.space = tsp[x.t]',
    to: 'r.space = tsp[1]',
    check: OWN,
  },
  'replicas of another space are looked at': {
    in: 'view_1',
    from: 'r.space = sps[a.s]',
    to: 'r.space = sps[1]',
    check: OWN,
  },
  'holders of another space are looked at': {
    in: 'view_1',
    from: 'c.space = tsp[h.t]',
    to: 'c.space = tsp[1]',
    check: OWN,
  },
  'a poll is answered from the cursor of another': {
    in: 'pull_1',
    from: 'r.version > p.since',
    to: 'r.version > sinces[1]',
    check: POLLS,
  },
  'a poll has the limit of another': {
    in: 'pull_1',
    from: 'r.place <= p.lim',
    to: 'r.place <= lims[1]',
    check: POLLS,
  },
}
