package auth_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ridehail/ridehail/auth"
	"github.com/ridehail/ridehail/trips"
)

func Example() {
	// of this node alone: no Keeper
	revocations := &auth.Revocations{Now: time.Now}
	tokens, err := auth.NewTokens([]byte("a secret of at least thirty-two bytes"), revocations, time.Now)
	if err != nil {
		fmt.Println(err)
		return
	}

	token, err := tokens.Issue(trips.RoleRider, "ada", time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}

	pass, err := tokens.Verify(token)
	fmt.Println(pass.Who.Role, pass.Who.ID, err)

	err = revocations.RevokeToken(context.Background(), pass.ID)
	fmt.Println("revoked:", tokens.IsRevoked(pass), err)

	_, err = tokens.Verify(token)
	fmt.Println(err)
	// Output:
	// rider ada <nil>
	// revoked: true <nil>
	// the token is not usable: get a new one (revoked)
}
