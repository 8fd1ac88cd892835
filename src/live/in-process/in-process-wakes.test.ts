import { expect, test } from 'vitest'
import { createInProcessWakes } from './in-process-wakes.ts'

test('tells every listener of its kind, with the run', () => {
  const wakes = createInProcessWakes()
  const heard: string[] = []
  wakes.onWork(() => heard.push('work a'))
  wakes.onWork(() => heard.push('work b'))
  wakes.onCancel((runId) => heard.push(`cancel ${runId}`))
  wakes.onCommitted((runId) => heard.push(`committed ${runId}`))
  wakes.work()
  wakes.cancel('run_1')
  wakes.committed('run_2')
  expect(heard).toEqual(['work a', 'work b', 'cancel run_1', 'committed run_2'])
})

test('forgets a listener that unsubscribed, twice over', () => {
  const wakes = createInProcessWakes()
  let calls = 0
  const forget = wakes.onWork(() => calls++)
  wakes.work()
  forget()
  forget()
  wakes.work()
  expect(calls).toBe(1)
})

test('two subscriptions of one function are two', () => {
  const wakes = createInProcessWakes()
  let calls = 0
  const listener = () => void calls++
  const forget = wakes.onWork(listener)
  wakes.onWork(listener)
  forget()
  wakes.work()
  expect(calls).toBe(1)
})

test('calls nobody after it was closed', async () => {
  const wakes = createInProcessWakes()
  let calls = 0
  wakes.onWork(() => calls++)
  wakes.onCancel(() => calls++)
  wakes.onCommitted(() => calls++)
  await wakes.close()
  wakes.work()
  wakes.cancel('run_1')
  wakes.committed('run_1')
  expect(calls).toBe(0)
})
