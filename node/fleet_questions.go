package node

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ridehail/ridehail/dispatch"
	"github.com/ridehail/ridehail/events"
	"github.com/ridehail/ridehail/location"
	"github.com/ridehail/ridehail/sharedstate"
	"github.com/ridehail/ridehail/trips"
	"github.com/ridehail/ridehail/wire"
)

// Messages between the positions' listeners of two nodes.
const (
	topicQuestion = "question" // wire.FleetQuestion, to the owner of regions
	topicAnswer   = "answer"   // wire.FleetAnswer, to the node that asked
)

const (
	// lookAroundWithin bounds the wait for answers. What comes later is still
	// put into the shared state.
	lookAroundWithin = 150 * time.Millisecond
	// maxQuestionAreas bounds the areas of one question.
	maxQuestionAreas = 64
	// maxAreaCars bounds what a question may ask for.
	maxAreaCars = 500

	// Questions wait for one of answerWorkers. When questionBacklog of them
	// wait, further ones are dropped; their askers stop to wait by themselves.
	questionBacklog = 1024
	answerWorkers   = 2
)

// fleetQuestions asks the owners of regions for cars, and answers as an owner.
type fleetQuestions struct {
	fleet     *fleetReplicator
	toAnswer  chan *wire.FleetQuestion
	mu        sync.Mutex // guards below
	lastID    uint64
	questions map[string]*lookAround // by the id of a question not yet answered
}

// lookAround is a call of LookAround that waits for answers.
type lookAround struct {
	waiting int               // questions without their last answer; guarded by fleetQuestions.mu
	owners  map[string]string // who was asked, by the id of the question
	done    chan struct{}     // closed when there is none
}

func newFleetQuestions(r *fleetReplicator) *fleetQuestions {
	return &fleetQuestions{fleet: r, toAnswer: make(chan *wire.FleetQuestion, questionBacklog), questions: map[string]*lookAround{}}
}

// LookAround asks the owners of regions in the areas for the cars there and puts
// them into the shared state. It returns when all have answered, and after 150
// ms at the latest: what was not answered is missing. It returns how many
// questions were sent. Many goroutines may call it.
func (q *fleetQuestions) LookAround(ctx context.Context, areas []sharedstate.Area) (asked int) {
	return len(q.askOwners(ctx, areas).Asked)
}

// askOwners is LookAround, and tells which nodes were asked and which of them
// have not answered.
func (q *fleetQuestions) askOwners(ctx context.Context, areas []sharedstate.Area) (looked dispatch.LookedAround) {
	byOwner := q.groupByOwner(areas)
	if len(byOwner) == 0 {
		return looked
	}

	ctx, cancel := context.WithTimeout(ctx, lookAroundWithin)
	defer cancel()
	look, messages, ids := q.openQuestions(byOwner)
	defer q.closeQuestions(ids)
	outcome := q.fleet.metrics.questions.WithLabelValues
	if err := q.fleet.publishBatches(ctx, messages); err != nil {
		outcome("failed").Add(float64(len(ids)))
		looked.Err = err
		return looked
	}
	for _, owner := range look.owners {
		looked.Asked = append(looked.Asked, owner)
	}

	select {
	case <-look.done:
		outcome("answered").Add(float64(len(ids)))
	case <-ctx.Done():
		looked.Late = q.findLate(look)
		outcome("late").Add(float64(len(looked.Late)))
		outcome("answered").Add(float64(len(ids) - len(looked.Late)))
	}
	return looked
}

// findLate returns the nodes that have not answered.
func (q *fleetQuestions) findLate(look *lookAround) (late []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, owner := range look.owners {
		if q.questions[id] == look {
			late = append(late, owner)
		}
	}
	return late
}

// countOpen returns how many questions wait for an answer.
func (q *fleetQuestions) countOpen() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.questions)
}

// groupByOwner returns which other node is to be asked about which areas.
func (q *fleetQuestions) groupByOwner(areas []sharedstate.Area) map[string][]*wire.FleetArea {
	if len(q.fleet.members.AliveNodes()) < 2 {
		return nil
	}

	byOwner := map[string][]*wire.FleetArea{}
	for _, a := range areas {
		owners := q.fleet.members.OwnersAround(a.Point, a.Metres)
		asked := &wire.FleetArea{Point: &wire.Point{Lng: a.Point.Lng, Lat: a.Point.Lat}, Metres: float32(a.Metres),
			Limit: uint32(shareOfLimit(min(a.Limit, maxAreaCars), len(owners))), FreeOnly: a.FreeOnly}
		for _, owner := range owners {
			if owner != q.fleet.node {
				byOwner[owner] = append(byOwner[owner], asked)
			}
		}
	}
	return byOwner
}

// shareOfLimit returns how many cars each of some owners is asked for. Regions
// are dealt like cards, so that each owner has about its share of the nearest
// cars; twice that leaves room for chance, and all of them together do not send
// more because they are many.
func shareOfLimit(limit, owners int) int {
	return min(limit, max(leastShare, 2*limit/max(owners, 1)))
}

// leastShare is the least that an owner is asked for, so that a stand of many
// cars in one region is seen.
const leastShare = 8

// openQuestions returns the messages of new questions, and the call that their
// answers complete.
func (q *fleetQuestions) openQuestions(byOwner map[string][]*wire.FleetArea) (*lookAround, []events.Addressed, []string) {
	q.mu.Lock()
	defer q.mu.Unlock()

	look := &lookAround{done: make(chan struct{}), owners: map[string]string{}}
	var messages []events.Addressed
	var ids []string
	for owner, areas := range byOwner {
		for part := range slices.Chunk(areas, maxQuestionAreas) {
			q.lastID++
			id := strconv.FormatUint(q.lastID, 36)
			messages = append(messages, q.fleet.encodeMessage(events.PositionsChannel(owner), topicQuestion,
				&wire.FleetQuestion{Id: id, Node: q.fleet.node, Areas: part})...)
			q.questions[id], look.owners[id] = look, owner
			ids = append(ids, id)
		}
	}
	look.waiting = len(ids)
	return look, messages, ids
}

// closeQuestions forgets questions.
func (q *fleetQuestions) closeQuestions(ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		delete(q.questions, id)
	}
}

// takeAnswer puts the cars of an answer into the shared state. Only the
// positions' listener calls it.
func (q *fleetQuestions) takeAnswer(payload []byte) {
	var a wire.FleetAnswer
	if err := wire.Proto.DecodeKnown(payload, &a); err != nil {
		q.fleet.log.Warn("another node's answer cannot be read", "err", err)
		return
	}

	for _, c := range a.Cars {
		if c.Node == q.fleet.node {
			continue // what others know of our drivers is older
		}
		if c.Node == "" || c.Node == a.Node {
			q.fleet.drivers.ApplyReplica(decodeCar(a.Node, c))
		} else {
			q.fleet.drivers.ApplyCopy(decodeCar(c.Node, c))
		}
		q.fleet.gateway.DeliverReplica(trips.DriverID(c.DriverId))
	}
	if a.More {
		return
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	if look := q.questions[a.Id]; look != nil {
		delete(q.questions, a.Id)
		if look.waiting--; look.waiting == 0 {
			close(look.done)
		}
	}
}

// enqueueQuestion keeps a question until a worker answers it. Only the
// positions' listener calls it; it does not wait.
func (q *fleetQuestions) enqueueQuestion(payload []byte) {
	question := new(wire.FleetQuestion)
	if err := wire.Proto.DecodeKnown(payload, question); err != nil {
		q.fleet.log.Warn("another node's question cannot be read", "err", err)
		return
	}

	select {
	case q.toAnswer <- question:
	default:
		q.fleet.metrics.questions.WithLabelValues("dropped").Inc()
	}
}

// run answers questions until ctx ends.
func (q *fleetQuestions) run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range answerWorkers {
		workers.Go(func() { q.answerQuestions(ctx) })
	}
	workers.Wait()
	return ctx.Err()
}

// answerQuestions answers those that wait together in one round trip.
func (q *fleetQuestions) answerQuestions(ctx context.Context) {
	for {
		var messages []events.Addressed
		select {
		case <-ctx.Done():
			return
		case question := <-q.toAnswer:
			messages = q.answerQuestion(question)
		}
		for more := true; more && len(messages) < fleetBatch; {
			select {
			case question := <-q.toAnswer:
				messages = append(messages, q.answerQuestion(question)...)
			default:
				more = false
			}
		}

		if err := q.fleet.publishBatches(ctx, messages); err != nil {
			q.fleet.log.Debug("a question about cars was not answered", "err", err)
		}
	}
}

// answerQuestion returns the messages of an answer: the cars of regions that
// this node owns, each once.
func (q *fleetQuestions) answerQuestion(question *wire.FleetQuestion) (messages []events.Addressed) {
	found := map[trips.DriverID]bool{}
	var cars []*wire.FleetCar
	for _, a := range question.Areas {
		for _, d := range q.findInArea(a) {
			if found[d.ID] || d.Node == question.Node || q.fleet.owners.ownerOf(d.Cell, d.Fix.Point) != q.fleet.node {
				continue
			}
			found[d.ID] = true
			c := encodeCar(d)
			c.Node = d.Node
			cars = append(cars, c)
		}
	}

	q.fleet.metrics.published.WithLabelValues("asker").Add(float64(len(cars)))
	for first := true; first || len(cars) > 0; first = false {
		part := cars[:min(len(cars), maxFleetCars)]
		cars = cars[len(part):]
		messages = append(messages, q.fleet.encodeMessage(events.PositionsChannel(question.Node), topicAnswer,
			&wire.FleetAnswer{Id: question.Id, Node: q.fleet.node, Cars: part, More: len(cars) > 0})...)
	}
	return messages
}

// findInArea returns the nearest drivers of an area.
func (q *fleetQuestions) findInArea(a *wire.FleetArea) (found []sharedstate.Driver) {
	at := location.Point{Lng: a.GetPoint().GetLng(), Lat: a.GetPoint().GetLat()}
	limit, metres := int(min(a.Limit, maxAreaCars)), float64(a.Metres)
	if !a.FreeOnly {
		return q.fleet.drivers.FindAround(at, metres, limit, nil)
	}
	for _, n := range q.fleet.drivers.Nearest(at, limit, metres, nil) {
		found = append(found, n.Driver)
	}
	return found
}
