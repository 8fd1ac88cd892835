import { expect, test } from 'vitest'
import { runChaos } from './chaos-run.ts'

test('keeps every promise through a handful of kills under load', async () => {
  const report = await runChaos({ seed: 7, kills: 6, seconds: 25, clients: 5 })
  expect(report.violations).toEqual([])
  expect(report.kills).toBeGreaterThan(2)
  expect(report.runs.accepted).toBeGreaterThan(20)
  expect(report.toolExecutions).toBeGreaterThan(10)
  expect(report.rescues).toBeGreaterThan(0)
  const { switches, plans, servedReplies } = report.work
  expect(Math.min(switches, plans, servedReplies)).toBeGreaterThan(0)
}, 120_000)
