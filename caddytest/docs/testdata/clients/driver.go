// Calls the functions of docs/clients.md: driver FUNCTION ARGUMENT...
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"example.com/client/cache"
)

var input = bufio.NewReader(os.Stdin)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Println("failed:", err)
	}
}

// ttl returns the argument i, if there is one.
func ttl(args []string, i int) (seconds int) {
	if len(args) > i {
		seconds, _ = strconv.Atoi(args[i])
	}
	return seconds
}

func run(ctx context.Context, function string, args []string) error {
	switch function {
	case "get_or_compute":
		value, err := cache.GetOrCompute(ctx, args[0], 0, func() (json.RawMessage, error) {
			fmt.Println("computing")
			return json.RawMessage(args[1]), nil
		})
		fmt.Println(string(value))
		return err
	case "create":
		is, err := cache.Create(ctx, args[0], json.RawMessage(args[1]), ttl(args, 2))
		if err == nil {
			fmt.Println(is)
		}
		return err
	case "update":
		value, err := cache.Update(ctx, args[0], ttl(args, 1), func(value int) int {
			fmt.Println("changing", value)
			_, _ = input.ReadString('\n')
			return value + 1
		})
		if err == nil {
			fmt.Println(value)
		}
		return err
	case "get_many":
		found, err := cache.GetMany(ctx, args)
		for _, key := range slices.Sorted(maps.Keys(found)) {
			value := string(found[key].Value)
			if found[key].Bytes != nil {
				value = hex.EncodeToString(found[key].Bytes)
			}
			fmt.Println(key, value)
		}
		return err
	case "bulk":
		var operations []cache.Operation
		for from := json.NewDecoder(input); ; {
			var o cache.Operation
			if err := from.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			if o.Op == "put" && o.Value == nil && o.Bytes == nil {
				o.Value = json.RawMessage("null")
			}
			operations = append(operations, o)
		}
		answers, err := cache.Bulk(ctx, operations)
		for _, a := range answers {
			if a.Status == 0 {
				fmt.Println("none")
			} else {
				fmt.Println(a.Status)
			}
		}
		return err
	case "bytes":
		data, err := hex.DecodeString(args[1])
		if err != nil {
			return err
		}
		if err := cache.PutBytes(ctx, args[0], data, args[2]); err != nil {
			return err
		}
		data, contentType, err := cache.GetBytes(ctx, args[0])
		if none, _, err := cache.GetBytes(ctx, "none"); err != nil || none != nil {
			return fmt.Errorf("%v, %v", none, err)
		}
		fmt.Println(hex.EncodeToString(data), contentType, "None")
		return err
	case "watch":
		return cache.Watch(ctx, args[0], func(event, key string) { fmt.Println(event, key) })
	}
	return fmt.Errorf("unknown function %q", function)
}
