import { expect, test } from 'vitest'

import { Batches } from './batches.ts'

/** Answers when it is told to. */
function openBatches(underWay = 1, most = 100) {
  const asked: (readonly number[])[] = []
  const free: ((failure?: Error) => void)[] = []
  const batches = new Batches<number, string>({ most, underWay }, (questions) => {
    asked.push(questions)
    return new Promise((resolve, reject) => {
      free.push((failure) =>
        failure === undefined ? resolve(questions.map((one) => `a${one}`)) : reject(failure),
      )
    })
  })
  return { batches, asked, free }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('what is asked while others are under way goes together, each answered its own', async () => {
  const { batches, asked, free } = openBatches()
  const answers = [batches.load(1), batches.load(2)]
  await turn()
  answers.push(batches.load(3), batches.load(4))
  await turn()
  expect(asked).toEqual([[1, 2]])
  free[0]?.()
  await turn()
  expect(asked).toEqual([
    [1, 2],
    [3, 4],
  ])
  free[1]?.()
  expect(await Promise.all(answers)).toEqual(['a1', 'a2', 'a3', 'a4'])
})

test('nothing is remembered: the same question is asked again', async () => {
  const { batches, asked, free } = openBatches()
  const first = batches.load(1)
  await turn()
  // Asked before the first is answered: what that one saw is too old for it.
  const second = batches.load(1)
  free[0]?.()
  await first
  await turn()
  expect(asked).toEqual([[1], [1]])
  free[1]?.()
  expect(await second).toBe('a1')
})

test('a failure is that of those it was asked for, and the next go on', async () => {
  const { batches, free, asked } = openBatches(1, 2)
  const answers = [1, 2, 3].map((one) => batches.load(one).catch((error: Error) => error.message))
  await turn()
  expect(asked).toEqual([[1, 2]])
  free[0]?.(new Error('gone'))
  await turn()
  free[1]?.()
  expect(await Promise.all(answers)).toEqual(['gone', 'gone', 'a3'])
})
