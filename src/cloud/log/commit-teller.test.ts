import { expect, test } from 'vitest'

import { CommitTeller } from './commit-teller.ts'

type Told = readonly [space: string, head: number, writer: string | null]

/** What listeners hear of rounds of commits, each round told before the next begins. */
async function hear(...rounds: readonly (readonly Told[])[]): Promise<readonly Told[]> {
  const teller = new CommitTeller()
  const heard: Told[] = []
  teller.add((...told) => heard.push(told))
  for (const round of rounds) {
    for (const told of round) teller.tell(...told)
    await Promise.resolve()
  }
  return heard
}

test('commits of one moment are told as one, with its writer where there is but one', async () => {
  const [one, two] = [['s', 1, 'x'] as const, ['s', 2, 'x'] as const]
  expect(await hear([one, two])).toEqual([two])
  expect(await hear([one, ['s', 2, 'y']])).toEqual([['s', 2, null]])
  expect(await hear([one], [['s', 2, 'y']])).toEqual([one, ['s', 2, 'y']])
  expect(await hear([one, ['t', 1, 'y']])).toEqual([one, ['t', 1, 'y']])
  // Two pushes of one commit may both be answered with its head.
  expect(await hear([one, ['s', 1, 'y']])).toEqual([['s', 1, null]])
})

test('I8: the latest head of a moment is told, in whatever order its pushes are answered', async () => {
  expect(
    await hear([
      ['s', 2, 'y'],
      ['s', 1, 'x'],
    ]),
  ).toEqual([['s', 2, null]])
})

test('a head that was told is no news; a lower one is, of a database that was put back', async () => {
  const one = ['s', 5, 'x'] as const
  expect(await hear([one], [one], [['s', 5, 'y']])).toEqual([one])
  expect(await hear([one], [['s', 3, 'x']])).toEqual([one, ['s', 3, 'x']])
})

test('nobody is told after the end', async () => {
  const teller = new CommitTeller()
  const heard: number[] = []
  teller.add((_, head) => heard.push(head))
  teller.tell('s', 1, null)
  teller.close()
  await Promise.resolve()
  expect(heard).toEqual([])
})
