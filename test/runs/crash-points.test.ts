import { describe, expect, test } from 'vitest'
import { eventsOfType } from '../agent/engine-under-test.ts'
import { runTrial, type Scenario, type Trial } from './crash-points.ts'
import { scenarios } from './crash-scenarios.ts'

/*
 * Every state that a killed process can leave: the scenario is run again for each of its commits, and dies before it.
 */

describe.each(Object.entries(scenarios))('%s', (_name, scenario) => {
  test('ends the same wherever its process dies, and repeats nothing that was committed', async () => {
    const whole = await runTrial(scenario, undefined)
    expect(whole.crashed).toBe(false)
    const commits = Array.from({ length: whole.commits }, (_, commit) => commit)
    const trials = await Promise.all(commits.map((commit) => runTrial(scenario, commit)))
    for (const [commit, trial] of trials.entries()) {
      expect(trial.crashed, `crashed before commit ${commit}`).toBe(true)
      expectSame(trial, whole, { commit, scenario })
    }
  }, 60_000)
})

function expectSame(
  trial: Trial,
  whole: Trial,
  { commit, scenario }: { commit: number; scenario: Scenario },
): void {
  const { parallel = false, breaksOff = false, mayRepeat = 1 } = scenario
  const at = `died before commit ${commit}`
  const outcome = ({ run, said }: Trial) => ({
    status: run.status,
    error: run.error,
    stop: run.stop_reason,
    agent: run.active_agent,
    plan: run.plan,
    parsed: run.output_parsed,
    steps: run.steps,
    usage: parallel || breaksOff ? null : run.usage,
    said: parallel ? sorted(said) : said,
  })
  expect(outcome(trial), at).toEqual(outcome(whole))
  expect(trial.run.usage.total_tokens, at).toBeGreaterThanOrEqual(whole.run.usage.total_tokens)
  const told = ({ events }: Trial) => ({
    switches: eventsOfType(events, 'agent.switch').map(({ from, to, why }) => [from, to, why]),
    plans: eventsOfType(events, 'plan.update').map(({ plan, updated }) => [plan, updated]),
    ends: eventsOfType(events, 'run.end').length,
    steps: eventsOfType(events, 'step.end').map(({ step }) => step),
  })
  expect(told(trial), at).toEqual(told(whole))
  expect(eventsOfType(trial.events, 'run.end'), at).toHaveLength(1)
  expectNoneMissing(trial.asked, whole.asked, { at, mayRepeat })
  expectNoneMissing(trial.executed, whole.executed, { at, mayRepeat })
}

function sorted(said: Trial['said']): Trial['said'] {
  return Object.fromEntries(Object.entries(said).map(([whose, lines]) => [whose, lines.toSorted()]))
}

/** All that was done without a crash, and at most what was under way when it came once more. */
function expectNoneMissing(
  done: readonly string[],
  expected: readonly string[],
  { at, mayRepeat }: { at: string; mayRepeat: number },
): void {
  const extra = [...done]
  for (const one of expected) {
    const place = extra.indexOf(one)
    expect(place, `${at}: missing ${one} in ${done.join('\n')}`).toBeGreaterThanOrEqual(0)
    extra.splice(place, 1)
  }
  for (const one of extra) expect(expected, at).toContain(one)
  expect(extra.length, `${at}: again ${extra.join('\n')}`).toBeLessThanOrEqual(mayRepeat)
}
